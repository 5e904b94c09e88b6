CREATE TABLE IF NOT EXISTS market_analytics (
	timestamp TIMESTAMP WITH TIME ZONE NOT NULL, 
	exchange_id TEXT NOT NULL, 
	total_market_cap DOUBLE PRECISION NOT NULL, 
	total_volume DOUBLE PRECISION NOT NULL, 
	btc_dominance DOUBLE PRECISION, 
	eth_dominance DOUBLE PRECISION, 
	active_cryptocurrencies BIGINT NOT NULL, 
	markets BIGINT NOT NULL, 
	market_cap_change_24h DOUBLE PRECISION, 
	source TEXT NOT NULL, 
	attribution TEXT NOT NULL, 
	PRIMARY KEY (exchange_id, source, timestamp)
);

CREATE INDEX IF NOT EXISTS market_analytics_timestamp_idx ON market_analytics (timestamp DESC);
