CREATE TABLE IF NOT EXISTS level1 (
	ticker TEXT NOT NULL, 
	timestamp TIMESTAMP WITH TIME ZONE NOT NULL, 
	best_bid DOUBLE PRECISION NOT NULL, 
	best_ask DOUBLE PRECISION NOT NULL, 
	spread DOUBLE PRECISION NOT NULL, 
	spread_percent DOUBLE PRECISION NOT NULL, 
	exchange TEXT NOT NULL, 
	market TEXT NOT NULL, 
	estimated BOOLEAN NOT NULL, 
	source TEXT NOT NULL, 
	attribution TEXT NOT NULL, 
	PRIMARY KEY (ticker, exchange, market, source, timestamp)
);

CREATE INDEX IF NOT EXISTS level1_timestamp_idx ON level1 (timestamp DESC);
