BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE api_keys (
	id VARCHAR(16) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	digest BLOB NOT NULL, 
	scopes TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	revoked_at DATETIME, 
	tenant_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id)
);
CREATE TABLE attempts (
	run_id VARCHAR(26) NOT NULL, 
	number INTEGER NOT NULL, 
	fence INTEGER NOT NULL, 
	owner VARCHAR(26) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	reason TEXT, 
	pid INTEGER, 
	claimed_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	exit_code INTEGER, 
	signal VARCHAR(16), 
	failure TEXT, 
	usage TEXT, 
	spool_offset BIGINT NOT NULL, 
	log_lines INTEGER NOT NULL, 
	log_warnings INTEGER NOT NULL, 
	log_errors INTEGER NOT NULL, 
	CONSTRAINT pk_attempts PRIMARY KEY (run_id, number), 
	CONSTRAINT fk_attempts_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "attempts" VALUES('01hgandenr0000000000000001',1,1,'01hgandennode0000000000000','success',NULL,NULL,'2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000002',1,1,'01hgandennode0000000000000','failed',NULL,NULL,'2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000002',2,2,'01hgandennode0000000000000','failed',NULL,NULL,'2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000002',3,3,'01hgandennode0000000000000','failed',NULL,NULL,'2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000003',1,1,'01hgandennode0000000000000','timeout',NULL,NULL,'2026-03-02 06:03:00.000000','2026-03-02 06:03:00.000000','2026-03-02 06:03:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000004',1,1,'01hgandennode0000000000000','cancelled',NULL,NULL,'2026-03-02 06:04:00.000000','2026-03-02 06:04:00.000000','2026-03-02 06:04:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000006',1,1,'01hgandennode0000000000000','crashed',NULL,NULL,'2026-03-02 06:06:00.000000','2026-03-02 06:06:00.000000','2026-03-02 06:06:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000008',1,1,'01hgandennode0000000000000','failed',NULL,NULL,'2026-03-02 06:08:00.000000','2026-03-02 06:08:00.000000','2026-03-02 06:08:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000009',1,1,'01hgandennode0000000000000','starting',NULL,NULL,'2026-03-02 06:09:00.000000','2026-03-02 06:09:00.000000',NULL,NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000010',1,1,'01hgandennode0000000000000','running',NULL,NULL,'2026-03-02 06:10:00.000000','2026-03-02 06:10:00.000000',NULL,NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandenr0000000000000011',1,1,'01hgandennode0000000000000','running',NULL,NULL,'2026-03-02 06:11:00.000000','2026-03-02 06:11:00.000000',NULL,NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandent0000000000000001',1,1,'01hgandennode0000000000000','success',NULL,NULL,'2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000',NULL,NULL,NULL,NULL,100,1,0,0);
INSERT INTO "attempts" VALUES('01hgandent0000000000000002',1,1,'01hgandennode0000000000000','running',NULL,NULL,'2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000',NULL,NULL,NULL,NULL,NULL,100,1,0,0);
CREATE TABLE audit_entries (
	id VARCHAR(26) NOT NULL, 
	at DATETIME NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	target VARCHAR(128) NOT NULL, 
	actor VARCHAR(64) NOT NULL, 
	agent VARCHAR(128), 
	request_id VARCHAR(128), 
	reason TEXT, 
	detail TEXT, 
	tenant_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_audit_entries PRIMARY KEY (id)
);
CREATE TABLE events (
	run_id VARCHAR(26) NOT NULL, 
	attempt INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	level SMALLINT, 
	step INTEGER, 
	message TEXT, 
	data TEXT, 
	CONSTRAINT pk_events PRIMARY KEY (run_id, attempt, seq), 
	CONSTRAINT fk_events_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "events" VALUES('01hgandenr0000000000000001',1,2,'2026-03-02 06:01:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000002',1,2,'2026-03-02 06:02:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000002',2,2,'2026-03-02 06:02:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000002',3,2,'2026-03-02 06:02:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000003',1,2,'2026-03-02 06:03:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000004',1,2,'2026-03-02 06:04:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000006',1,2,'2026-03-02 06:06:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000008',1,2,'2026-03-02 06:08:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000009',1,2,'2026-03-02 06:09:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000010',1,2,'2026-03-02 06:10:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandenr0000000000000011',1,2,'2026-03-02 06:11:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandent0000000000000001',1,2,'2026-03-02 06:01:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
INSERT INTO "events" VALUES('01hgandent0000000000000002',1,2,'2026-03-02 06:02:00.000000','log',20,NULL,'orders of the day','{"source":"ctx"}');
CREATE TABLE idempotency_keys (
	tenant_id VARCHAR(64) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	request_sha256 VARCHAR(64) NOT NULL, 
	status INTEGER, 
	answer TEXT, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant_id, "key")
);
CREATE TABLE pipeline_states (
	pipeline_id VARCHAR(26) NOT NULL, 
	data TEXT NOT NULL, 
	run_number INTEGER NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_pipeline_states PRIMARY KEY (pipeline_id), 
	CONSTRAINT fk_pipeline_states_pipeline_id_pipelines FOREIGN KEY(pipeline_id) REFERENCES pipelines (id)
);
INSERT INTO "pipeline_states" VALUES('01hgandenp0000000000000000','{"day":"2026-03-01"}',1,'2026-03-02 06:00:00.000000');
CREATE TABLE pipelines (
	id VARCHAR(26) NOT NULL, 
	name VARCHAR(63) NOT NULL, 
	stem VARCHAR(255) NOT NULL, 
	tag_index TEXT NOT NULL, 
	current_version INTEGER NOT NULL, 
	version_count INTEGER NOT NULL, 
	run_count INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	undeployed_at DATETIME, 
	tenant_id VARCHAR(64) NOT NULL, removed_count INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_pipelines PRIMARY KEY (id), 
	CONSTRAINT uq_pipelines_tenant_id_name UNIQUE (tenant_id, name)
);
INSERT INTO "pipelines" VALUES('01hgandenp0000000000000000','orders','orders','
golden
',1,1,11,'2026-03-02 06:00:00.000000','2026-03-02 06:00:00.000000',NULL,'default',0);
INSERT INTO "pipelines" VALUES('01hgandenp0000000000000001','ticks','ticks','
golden
',1,1,2,'2026-03-02 06:00:00.000000','2026-03-02 06:00:00.000000',NULL,'default',0);
CREATE TABLE runs (
	id VARCHAR(26) NOT NULL, 
	pipeline_id VARCHAR(26) NOT NULL, 
	pipeline_name VARCHAR(63) NOT NULL, 
	number INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	status_reason TEXT, 
	"trigger" VARCHAR(16) NOT NULL, 
	params TEXT NOT NULL, 
	interval_start DATETIME, 
	interval_end DATETIME, 
	rerun_of VARCHAR(26), 
	priority INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	available_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	owner VARCHAR(26), 
	fence INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	max_attempts INTEGER NOT NULL, 
	launch_failures INTEGER NOT NULL, 
	timeout FLOAT, 
	max_concurrent INTEGER, 
	cancel_requested_at DATETIME, 
	cancel_reason TEXT, 
	result TEXT, 
	failure TEXT, 
	fingerprint VARCHAR(16), 
	requested_by VARCHAR(64) NOT NULL, 
	agent VARCHAR(128), 
	reason TEXT, 
	tenant_id VARCHAR(64) NOT NULL, schedule_id VARCHAR(26), scheduled_for DATETIME, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_pipeline_id_pipelines FOREIGN KEY(pipeline_id) REFERENCES pipelines (id), 
	CONSTRAINT uq_runs_pipeline_id_number UNIQUE (pipeline_id, number)
);
INSERT INTO "runs" VALUES('01hgandenr0000000000000001','01hgandenp0000000000000000','orders',1,1,'success',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,'{"attempt":1}',NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000002','01hgandenp0000000000000000','orders',2,1,'failed',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','01hgandennode0000000000000',3,3,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000003','01hgandenp0000000000000000','orders',3,1,'timeout',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:03:00.000000','2026-03-02 06:03:00.000000','2026-03-02 06:03:00.000000','2026-03-02 06:03:00.000000','01hgandennode0000000000000',1,1,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000004','01hgandenp0000000000000000','orders',4,1,'cancelled',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:04:00.000000','2026-03-02 06:04:00.000000','2026-03-02 06:04:00.000000','2026-03-02 06:04:00.000000','01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000005','01hgandenp0000000000000000','orders',5,1,'skipped',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:05:00.000000','2026-03-02 06:05:00.000000',NULL,'2026-03-02 06:05:00.000000',NULL,0,0,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000006','01hgandenp0000000000000000','orders',6,1,'crashed',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:06:00.000000','2026-03-02 06:06:00.000000','2026-03-02 06:06:00.000000','2026-03-02 06:06:00.000000','01hgandennode0000000000000',1,1,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000007','01hgandenp0000000000000000','orders',7,1,'queued',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:07:00.000000','2026-03-02 06:07:00.000000',NULL,NULL,NULL,0,0,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000008','01hgandenp0000000000000000','orders',8,1,'retrying',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:08:00.000000','2026-03-02 06:08:00.000000','2026-03-02 06:08:00.000000',NULL,'01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000009','01hgandenp0000000000000000','orders',9,1,'starting',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:09:00.000000','2026-03-02 06:09:00.000000',NULL,NULL,'01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000010','01hgandenp0000000000000000','orders',10,1,'running',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:10:00.000000','2026-03-02 06:10:00.000000','2026-03-02 06:10:00.000000',NULL,'01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandenr0000000000000011','01hgandenp0000000000000000','orders',11,1,'running',NULL,'manual','{"day":2}',NULL,NULL,NULL,0,'2026-03-02 06:11:00.000000','2026-03-02 06:11:00.000000','2026-03-02 06:11:00.000000',NULL,'01hgandennode0000000000000',1,1,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'local',NULL,NULL,'default',NULL,NULL);
INSERT INTO "runs" VALUES('01hgandent0000000000000001','01hgandenp0000000000000001','ticks',1,1,'success',NULL,'schedule','{}','2026-03-02 03:00:00.000000','2026-03-02 04:00:00.000000',NULL,0,'2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','2026-03-02 06:01:00.000000','01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,'{"attempt":1}',NULL,NULL,'scheduler',NULL,NULL,'default','01hgandens0000000000000000','2026-03-02 04:00:00.000000');
INSERT INTO "runs" VALUES('01hgandent0000000000000002','01hgandenp0000000000000001','ticks',2,1,'running',NULL,'schedule','{}','2026-03-02 04:00:00.000000','2026-03-02 05:00:00.000000',NULL,0,'2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000','2026-03-02 06:02:00.000000',NULL,'01hgandennode0000000000000',1,1,3,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'scheduler',NULL,NULL,'default','01hgandens0000000000000000','2026-03-02 05:00:00.000000');
CREATE TABLE schedules (
	id VARCHAR(26) NOT NULL, 
	pipeline_id VARCHAR(26) NOT NULL, 
	name VARCHAR(63) NOT NULL, 
	cron VARCHAR(128), 
	every FLOAT, 
	timezone VARCHAR(64) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	set_by VARCHAR(16) NOT NULL, 
	catchup VARCHAR(8) NOT NULL, 
	deadline FLOAT NOT NULL, 
	next_fire_at DATETIME, 
	watermark DATETIME NOT NULL, 
	covered_until DATETIME, 
	generation INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	tenant_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_schedules PRIMARY KEY (id), 
	CONSTRAINT fk_schedules_pipeline_id_pipelines FOREIGN KEY(pipeline_id) REFERENCES pipelines (id), 
	CONSTRAINT uq_schedules_pipeline_id_name UNIQUE (pipeline_id, name)
);
INSERT INTO "schedules" VALUES('01hgandens0000000000000000','01hgandenp0000000000000001','default','0 * * * *',NULL,'Europe/Berlin',1,'command','latest',7200.0,'2026-03-02 06:00:00.000000','2026-03-02 05:00:00.000000','2026-03-02 05:00:00.000000',3,'2026-03-02 05:00:00.000000','2026-03-02 05:00:00.000000','default');
CREATE TABLE sources (
	sha256 VARCHAR(64) NOT NULL, 
	content TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_sources PRIMARY KEY (sha256)
);
INSERT INTO "sources" VALUES('85a80671afb12693b6e078f066bab9d545223fd80b41b7a93c9a8dc75e3dae66','from tau import pipeline


@pipeline(retries=2, retry_delay=0)
async def orders(ctx):
    ctx.log("orders of the day")
    return {"attempt": ctx.attempt, "seen": dict(ctx.state)}
','2026-03-02 06:00:00.000000');
CREATE TABLE versions (
	pipeline_id VARCHAR(26) NOT NULL, 
	number INTEGER NOT NULL, 
	source_sha256 VARCHAR(64) NOT NULL, 
	file_name VARCHAR(255) NOT NULL, 
	origin TEXT, 
	spec TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(64) NOT NULL, 
	agent VARCHAR(128), 
	reason TEXT, 
	tenant_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_versions PRIMARY KEY (pipeline_id, number), 
	CONSTRAINT fk_versions_pipeline_id_pipelines FOREIGN KEY(pipeline_id) REFERENCES pipelines (id), 
	CONSTRAINT fk_versions_source_sha256_sources FOREIGN KEY(source_sha256) REFERENCES sources (sha256)
);
INSERT INTO "versions" VALUES('01hgandenp0000000000000000',1,'85a80671afb12693b6e078f066bab9d545223fd80b41b7a93c9a8dc75e3dae66','orders.py',NULL,'{"name": "orders", "function": "orders", "line": 5, "description": null, "schedule": null, "every": null, "timezone": "UTC", "tags": ["golden"], "depends_on": [], "retries": 2, "retry_delay": 0.0, "retry_backoff": 2.0, "timeout": null, "max_concurrent": null, "on_overlap": "queue", "params": {"defaults": {}, "model": null, "schema": null}, "is_async": true}','2026-03-02 06:00:00.000000','local',NULL,NULL,'default');
INSERT INTO "versions" VALUES('01hgandenp0000000000000001',1,'85a80671afb12693b6e078f066bab9d545223fd80b41b7a93c9a8dc75e3dae66','orders.py',NULL,'{"name": "ticks", "function": "orders", "line": 5, "description": null, "schedule": null, "every": null, "timezone": "Europe/Berlin", "tags": ["golden"], "depends_on": [], "retries": 2, "retry_delay": 0.0, "retry_backoff": 2.0, "timeout": null, "max_concurrent": null, "on_overlap": "queue", "params": {"defaults": {}, "model": null, "schema": null}, "is_async": true, "declared_name": "orders"}','2026-03-02 06:00:00.000000','local',NULL,NULL,'default');
CREATE TABLE workers (
	id VARCHAR(26) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	pid INTEGER NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	slots INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	lease_until DATETIME NOT NULL, 
	CONSTRAINT pk_workers PRIMARY KEY (id)
);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_pipelines_stem ON pipelines (tenant_id, stem);
CREATE INDEX ix_runs_active ON runs (pipeline_id, owner) WHERE status IN ('starting', 'running');
CREATE INDEX ix_runs_list ON runs (tenant_id, id);
CREATE INDEX ix_runs_queue ON runs (priority, available_at, id) WHERE status IN ('queued', 'retrying');
CREATE INDEX ix_runs_success ON runs (pipeline_id, started_at) WHERE status = 'success';
CREATE INDEX ix_events_trace ON events (run_id, attempt, seq) WHERE kind <> 'log';
CREATE TRIGGER runs_final_status BEFORE UPDATE OF status ON runs
WHEN OLD.status IN ('success', 'failed', 'timeout', 'cancelled', 'skipped', 'crashed') AND NEW.status <> OLD.status
BEGIN SELECT RAISE(ABORT, 'a final status never changes'); END;
CREATE INDEX ix_schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE UNIQUE INDEX ix_runs_tick ON runs (schedule_id, scheduled_for) WHERE schedule_id IS NOT NULL;
CREATE INDEX ix_runs_bad ON runs (tenant_id, finished_at, id) WHERE status IN ('failed', 'timeout', 'crashed');
CREATE INDEX ix_runs_bad_of_pipeline ON runs (pipeline_id, finished_at, id) WHERE status IN ('failed', 'timeout', 'crashed');
CREATE INDEX ix_runs_ended ON runs (tenant_id, status, id) WHERE finished_at IS NOT NULL;
CREATE INDEX ix_runs_ended_of_pipeline ON runs (pipeline_id, status, number) WHERE finished_at IS NOT NULL;
CREATE INDEX ix_runs_unfinished ON runs (tenant_id, pipeline_id, number) WHERE finished_at IS NULL;
COMMIT;
