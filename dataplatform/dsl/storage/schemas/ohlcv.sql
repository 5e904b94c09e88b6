CREATE TABLE IF NOT EXISTS crypto_ohlcv (
	coin_id TEXT NOT NULL, 
	symbol TEXT, 
	exchange_id TEXT NOT NULL, 
	timestamp TIMESTAMP WITH TIME ZONE NOT NULL, 
	open DOUBLE PRECISION NOT NULL, 
	high DOUBLE PRECISION NOT NULL, 
	low DOUBLE PRECISION NOT NULL, 
	close DOUBLE PRECISION NOT NULL, 
	volume DOUBLE PRECISION, 
	timeframe TEXT NOT NULL, 
	source TEXT NOT NULL, 
	attribution TEXT NOT NULL, 
	PRIMARY KEY (coin_id, exchange_id, source, timeframe, timestamp)
);

CREATE INDEX IF NOT EXISTS crypto_ohlcv_timestamp_idx ON crypto_ohlcv (timestamp DESC);
