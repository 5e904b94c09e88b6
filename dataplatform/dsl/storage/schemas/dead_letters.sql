CREATE TABLE IF NOT EXISTS dead_letters (
	id TEXT NOT NULL, 
	time TIMESTAMP WITH TIME ZONE NOT NULL, 
	origin TEXT NOT NULL, 
	stream TEXT NOT NULL, 
	partition BIGINT, 
	"offset" BIGINT, 
	target TEXT NOT NULL, 
	error TEXT NOT NULL, 
	raw BYTEA NOT NULL, 
	record_kind TEXT NOT NULL, 
	source_kind TEXT NOT NULL, 
	source TEXT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX IF NOT EXISTS dead_letters_time_idx ON dead_letters (time DESC);
