CREATE TABLE IF NOT EXISTS crypto_prices (
	coin_id TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	name TEXT, 
	exchange_id TEXT NOT NULL, 
	usd_price DOUBLE PRECISION NOT NULL, 
	btc_price DOUBLE PRECISION, 
	eth_price DOUBLE PRECISION, 
	market_cap DOUBLE PRECISION, 
	volume_24h DOUBLE PRECISION, 
	change_24h REAL, 
	change_7d REAL, 
	last_updated TIMESTAMP WITH TIME ZONE NOT NULL, 
	source TEXT NOT NULL, 
	attribution TEXT NOT NULL, 
	PRIMARY KEY (coin_id, exchange_id, source, last_updated)
);

CREATE INDEX IF NOT EXISTS crypto_prices_last_updated_idx ON crypto_prices (last_updated DESC);
