CREATE FUNCTION public.refuse_final_status_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN RAISE EXCEPTION 'a final status never changes' USING ERRCODE = '23514'; END $$;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_keys (
    id character varying(16) NOT NULL,
    name character varying(64) NOT NULL,
    digest bytea NOT NULL,
    scopes text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    tenant_id character varying(64) NOT NULL
);
CREATE TABLE public.attempts (
    run_id character varying(26) NOT NULL,
    number integer NOT NULL,
    fence integer NOT NULL,
    owner character varying(26) NOT NULL,
    status character varying(16) NOT NULL,
    reason text,
    pid integer,
    claimed_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    exit_code integer,
    signal character varying(16),
    failure text,
    usage text,
    spool_offset bigint NOT NULL,
    log_lines integer NOT NULL,
    log_warnings integer NOT NULL,
    log_errors integer NOT NULL
);
CREATE TABLE public.audit_entries (
    id character varying(26) NOT NULL,
    at timestamp with time zone NOT NULL,
    action character varying(64) NOT NULL,
    target character varying(128) NOT NULL,
    actor character varying(64) NOT NULL,
    agent character varying(128),
    request_id character varying(128),
    reason text,
    detail text,
    tenant_id character varying(64) NOT NULL
);
CREATE TABLE public.events (
    run_id character varying(26) NOT NULL,
    attempt integer NOT NULL,
    seq integer NOT NULL,
    at timestamp with time zone NOT NULL,
    kind character varying(16) NOT NULL,
    level smallint,
    step integer,
    message text,
    data text
);
CREATE TABLE public.idempotency_keys (
    tenant_id character varying(64) NOT NULL,
    key character varying(255) NOT NULL,
    request_sha256 character varying(64) NOT NULL,
    status integer,
    answer text,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.pipeline_states (
    pipeline_id character varying(26) NOT NULL,
    data text NOT NULL,
    run_number integer NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.pipelines (
    id character varying(26) NOT NULL,
    name character varying(63) NOT NULL,
    stem character varying(255) NOT NULL,
    tag_index text NOT NULL,
    current_version integer NOT NULL,
    version_count integer NOT NULL,
    run_count integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    undeployed_at timestamp with time zone,
    tenant_id character varying(64) NOT NULL
);
CREATE TABLE public.runs (
    id character varying(26) NOT NULL,
    pipeline_id character varying(26) NOT NULL,
    pipeline_name character varying(63) NOT NULL,
    number integer NOT NULL,
    version integer NOT NULL,
    status character varying(16) NOT NULL,
    status_reason text,
    trigger character varying(16) NOT NULL,
    params text NOT NULL,
    interval_start timestamp with time zone,
    interval_end timestamp with time zone,
    rerun_of character varying(26),
    priority integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    available_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    owner character varying(26),
    fence integer NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    launch_failures integer NOT NULL,
    timeout double precision,
    max_concurrent integer,
    cancel_requested_at timestamp with time zone,
    cancel_reason text,
    result text,
    failure text,
    fingerprint character varying(16),
    requested_by character varying(64) NOT NULL,
    agent character varying(128),
    reason text,
    tenant_id character varying(64) NOT NULL,
    schedule_id character varying(26),
    scheduled_for timestamp with time zone
);
CREATE TABLE public.schedules (
    id character varying(26) NOT NULL,
    pipeline_id character varying(26) NOT NULL,
    name character varying(63) NOT NULL,
    cron character varying(128),
    every double precision,
    timezone character varying(64) NOT NULL,
    enabled boolean NOT NULL,
    set_by character varying(16) NOT NULL,
    catchup character varying(8) NOT NULL,
    deadline double precision NOT NULL,
    next_fire_at timestamp with time zone,
    watermark timestamp with time zone NOT NULL,
    covered_until timestamp with time zone,
    generation integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    tenant_id character varying(64) NOT NULL
);
CREATE TABLE public.sources (
    sha256 character varying(64) NOT NULL,
    content text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.versions (
    pipeline_id character varying(26) NOT NULL,
    number integer NOT NULL,
    source_sha256 character varying(64) NOT NULL,
    file_name character varying(255) NOT NULL,
    origin text,
    spec text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by character varying(64) NOT NULL,
    agent character varying(128),
    reason text,
    tenant_id character varying(64) NOT NULL
);
CREATE TABLE public.workers (
    id character varying(26) NOT NULL,
    host character varying(255) NOT NULL,
    pid integer NOT NULL,
    version character varying(32) NOT NULL,
    slots integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    lease_until timestamp with time zone NOT NULL
);
INSERT INTO public.alembic_version VALUES ('0003');
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000001', 1, 1, '01hgandennode0000000000000', 'success', NULL, NULL, '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000002', 1, 1, '01hgandennode0000000000000', 'failed', NULL, NULL, '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000002', 2, 2, '01hgandennode0000000000000', 'failed', NULL, NULL, '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000002', 3, 3, '01hgandennode0000000000000', 'failed', NULL, NULL, '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000003', 1, 1, '01hgandennode0000000000000', 'timeout', NULL, NULL, '2026-03-02 06:03:00+00', '2026-03-02 06:03:00+00', '2026-03-02 06:03:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000004', 1, 1, '01hgandennode0000000000000', 'cancelled', NULL, NULL, '2026-03-02 06:04:00+00', '2026-03-02 06:04:00+00', '2026-03-02 06:04:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000006', 1, 1, '01hgandennode0000000000000', 'crashed', NULL, NULL, '2026-03-02 06:06:00+00', '2026-03-02 06:06:00+00', '2026-03-02 06:06:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000008', 1, 1, '01hgandennode0000000000000', 'failed', NULL, NULL, '2026-03-02 06:08:00+00', '2026-03-02 06:08:00+00', '2026-03-02 06:08:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000009', 1, 1, '01hgandennode0000000000000', 'starting', NULL, NULL, '2026-03-02 06:09:00+00', '2026-03-02 06:09:00+00', NULL, NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000010', 1, 1, '01hgandennode0000000000000', 'running', NULL, NULL, '2026-03-02 06:10:00+00', '2026-03-02 06:10:00+00', NULL, NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000011', 1, 1, '01hgandennode0000000000000', 'running', NULL, NULL, '2026-03-02 06:11:00+00', '2026-03-02 06:11:00+00', NULL, NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandent0000000000000001', 1, 1, '01hgandennode0000000000000', 'success', NULL, NULL, '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandent0000000000000002', 1, 1, '01hgandennode0000000000000', 'running', NULL, NULL, '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', NULL, NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.attempts VALUES ('01hgandenr0000000000000012', 1, 1, '01hgandenlost0000000000000', 'running', NULL, NULL, '2026-03-02 06:12:00+00', '2026-03-02 06:12:00+00', NULL, NULL, NULL, NULL, NULL, 100, 1, 0, 0);
INSERT INTO public.events VALUES ('01hgandenr0000000000000001', 1, 2, '2026-03-02 06:01:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000002', 1, 2, '2026-03-02 06:02:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000002', 2, 2, '2026-03-02 06:02:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000002', 3, 2, '2026-03-02 06:02:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000003', 1, 2, '2026-03-02 06:03:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000004', 1, 2, '2026-03-02 06:04:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000006', 1, 2, '2026-03-02 06:06:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000008', 1, 2, '2026-03-02 06:08:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000009', 1, 2, '2026-03-02 06:09:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000010', 1, 2, '2026-03-02 06:10:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000011', 1, 2, '2026-03-02 06:11:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandent0000000000000001', 1, 2, '2026-03-02 06:01:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandent0000000000000002', 1, 2, '2026-03-02 06:02:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.events VALUES ('01hgandenr0000000000000012', 1, 2, '2026-03-02 06:12:00+00', 'log', 20, NULL, 'orders of the day', '{"source":"ctx"}');
INSERT INTO public.pipeline_states VALUES ('01hgandenp0000000000000000', '{"day":"2026-03-01"}', 1, '2026-03-02 06:00:00+00');
INSERT INTO public.pipelines VALUES ('01hgandenp0000000000000000', 'orders', 'orders', '
golden
', 1, 1, 12, '2026-03-02 06:00:00+00', '2026-03-02 06:00:00+00', NULL, 'default');
INSERT INTO public.pipelines VALUES ('01hgandenp0000000000000001', 'ticks', 'ticks', '
golden
', 1, 1, 2, '2026-03-02 06:00:00+00', '2026-03-02 06:00:00+00', NULL, 'default');
INSERT INTO public.runs VALUES ('01hgandenr0000000000000001', '01hgandenp0000000000000000', 'orders', 1, 1, 'success', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, '{"attempt":1}', NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000002', '01hgandenp0000000000000000', 'orders', 2, 1, 'failed', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '01hgandennode0000000000000', 3, 3, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000003', '01hgandenp0000000000000000', 'orders', 3, 1, 'timeout', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:03:00+00', '2026-03-02 06:03:00+00', '2026-03-02 06:03:00+00', '2026-03-02 06:03:00+00', '01hgandennode0000000000000', 1, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000004', '01hgandenp0000000000000000', 'orders', 4, 1, 'cancelled', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:04:00+00', '2026-03-02 06:04:00+00', '2026-03-02 06:04:00+00', '2026-03-02 06:04:00+00', '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000005', '01hgandenp0000000000000000', 'orders', 5, 1, 'skipped', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:05:00+00', '2026-03-02 06:05:00+00', NULL, '2026-03-02 06:05:00+00', NULL, 0, 0, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000006', '01hgandenp0000000000000000', 'orders', 6, 1, 'crashed', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:06:00+00', '2026-03-02 06:06:00+00', '2026-03-02 06:06:00+00', '2026-03-02 06:06:00+00', '01hgandennode0000000000000', 1, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000007', '01hgandenp0000000000000000', 'orders', 7, 1, 'queued', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:07:00+00', '2026-03-02 06:07:00+00', NULL, NULL, NULL, 0, 0, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000008', '01hgandenp0000000000000000', 'orders', 8, 1, 'retrying', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:08:00+00', '2026-03-02 06:08:00+00', '2026-03-02 06:08:00+00', NULL, '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000009', '01hgandenp0000000000000000', 'orders', 9, 1, 'starting', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:09:00+00', '2026-03-02 06:09:00+00', NULL, NULL, '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000010', '01hgandenp0000000000000000', 'orders', 10, 1, 'running', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:10:00+00', '2026-03-02 06:10:00+00', '2026-03-02 06:10:00+00', NULL, '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandenr0000000000000011', '01hgandenp0000000000000000', 'orders', 11, 1, 'running', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:11:00+00', '2026-03-02 06:11:00+00', '2026-03-02 06:11:00+00', NULL, '01hgandennode0000000000000', 1, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.runs VALUES ('01hgandent0000000000000001', '01hgandenp0000000000000001', 'ticks', 1, 1, 'success', NULL, 'schedule', '{}', '2026-03-02 03:00:00+00', '2026-03-02 04:00:00+00', NULL, 0, '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '2026-03-02 06:01:00+00', '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, '{"attempt":1}', NULL, NULL, 'scheduler', NULL, NULL, 'default', '01hgandens0000000000000000', '2026-03-02 04:00:00+00');
INSERT INTO public.runs VALUES ('01hgandent0000000000000002', '01hgandenp0000000000000001', 'ticks', 2, 1, 'running', NULL, 'schedule', '{}', '2026-03-02 04:00:00+00', '2026-03-02 05:00:00+00', NULL, 0, '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', '2026-03-02 06:02:00+00', NULL, '01hgandennode0000000000000', 1, 1, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'scheduler', NULL, NULL, 'default', '01hgandens0000000000000000', '2026-03-02 05:00:00+00');
INSERT INTO public.runs VALUES ('01hgandenr0000000000000012', '01hgandenp0000000000000000', 'orders', 12, 1, 'running', NULL, 'manual', '{"day":2}', NULL, NULL, NULL, 0, '2026-03-02 06:12:00+00', '2026-03-02 06:12:00+00', '2026-03-02 06:12:00+00', NULL, '01hgandenlost0000000000000', 1, 1, 2, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'local', NULL, NULL, 'default', NULL, NULL);
INSERT INTO public.schedules VALUES ('01hgandens0000000000000000', '01hgandenp0000000000000001', 'default', '0 * * * *', NULL, 'Europe/Berlin', true, 'command', 'latest', 7200, '2026-03-02 06:00:00+00', '2026-03-02 05:00:00+00', '2026-03-02 05:00:00+00', 3, '2026-03-02 05:00:00+00', '2026-03-02 05:00:00+00', 'default');
INSERT INTO public.sources VALUES ('85a80671afb12693b6e078f066bab9d545223fd80b41b7a93c9a8dc75e3dae66', 'from tau import pipeline
@pipeline(retries=2, retry_delay=0)
async def orders(ctx):
    ctx.log("orders of the day")
    return {"attempt": ctx.attempt, "seen": dict(ctx.state)}
', '2026-03-02 06:00:00+00');
INSERT INTO public.versions VALUES ('01hgandenp0000000000000000', 1, '85a80671afb12693b6e078f066bab9d545223fd80b41b7a93c9a8dc75e3dae66', 'orders.py', NULL, '{"name": "orders", "function": "orders", "line": 5, "description": null, "schedule": null, "every": null, "timezone": "UTC", "tags": ["golden"], "depends_on": [], "retries": 2, "retry_delay": 0.0, "retry_backoff": 2.0, "timeout": null, "max_concurrent": null, "on_overlap": "queue", "params": {"defaults": {}, "model": null, "schema": null}, "is_async": true}', '2026-03-02 06:00:00+00', 'local', NULL, NULL, 'default');
INSERT INTO public.versions VALUES ('01hgandenp0000000000000001', 1, '85a80671afb12693b6e078f066bab9d545223fd80b41b7a93c9a8dc75e3dae66', 'orders.py', NULL, '{"name": "ticks", "function": "orders", "line": 5, "description": null, "schedule": null, "every": null, "timezone": "Europe/Berlin", "tags": ["golden"], "depends_on": [], "retries": 2, "retry_delay": 0.0, "retry_backoff": 2.0, "timeout": null, "max_concurrent": null, "on_overlap": "queue", "params": {"defaults": {}, "model": null, "schema": null}, "is_async": true, "declared_name": "orders"}', '2026-03-02 06:00:00+00', 'local', NULL, NULL, 'default');
INSERT INTO public.workers VALUES ('01hgandenlost0000000000000', 'elsewhere', 1, '0.1.0', 4, '2026-03-02 06:00:00+00', '2026-03-02 06:30:00+00');
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT pk_api_keys PRIMARY KEY (id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT pk_attempts PRIMARY KEY (run_id, number);
ALTER TABLE ONLY public.audit_entries
    ADD CONSTRAINT pk_audit_entries PRIMARY KEY (id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (run_id, attempt, seq);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant_id, key);
ALTER TABLE ONLY public.pipeline_states
    ADD CONSTRAINT pk_pipeline_states PRIMARY KEY (pipeline_id);
ALTER TABLE ONLY public.pipelines
    ADD CONSTRAINT pk_pipelines PRIMARY KEY (id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT pk_runs PRIMARY KEY (id);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT pk_schedules PRIMARY KEY (id);
ALTER TABLE ONLY public.sources
    ADD CONSTRAINT pk_sources PRIMARY KEY (sha256);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT pk_versions PRIMARY KEY (pipeline_id, number);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT pk_workers PRIMARY KEY (id);
ALTER TABLE ONLY public.pipelines
    ADD CONSTRAINT uq_pipelines_tenant_id_name UNIQUE (tenant_id, name);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT uq_runs_pipeline_id_number UNIQUE (pipeline_id, number);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT uq_schedules_pipeline_id_name UNIQUE (pipeline_id, name);
CREATE INDEX ix_events_trace ON public.events USING btree (run_id, attempt, seq) WHERE ((kind)::text <> 'log'::text);
CREATE INDEX ix_idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);
CREATE INDEX ix_pipelines_stem ON public.pipelines USING btree (tenant_id, stem);
CREATE INDEX ix_runs_active ON public.runs USING btree (pipeline_id, owner) WHERE ((status)::text = ANY ((ARRAY['starting'::character varying, 'running'::character varying])::text[]));
CREATE INDEX ix_runs_bad ON public.runs USING btree (tenant_id, id) WHERE ((status)::text = ANY ((ARRAY['failed'::character varying, 'timeout'::character varying, 'crashed'::character varying])::text[]));
CREATE INDEX ix_runs_list ON public.runs USING btree (tenant_id, id);
CREATE INDEX ix_runs_queue ON public.runs USING btree (priority, available_at, id) WHERE ((status)::text = ANY ((ARRAY['queued'::character varying, 'retrying'::character varying])::text[]));
CREATE INDEX ix_runs_success ON public.runs USING btree (pipeline_id, started_at) WHERE ((status)::text = 'success'::text);
CREATE UNIQUE INDEX ix_runs_tick ON public.runs USING btree (schedule_id, scheduled_for) WHERE (schedule_id IS NOT NULL);
CREATE INDEX ix_schedules_due ON public.schedules USING btree (next_fire_at) WHERE (next_fire_at IS NOT NULL);
CREATE TRIGGER runs_final_status BEFORE UPDATE OF status ON public.runs FOR EACH ROW WHEN ((((old.status)::text = ANY ((ARRAY['success'::character varying, 'failed'::character varying, 'timeout'::character varying, 'cancelled'::character varying, 'skipped'::character varying, 'crashed'::character varying])::text[])) AND ((new.status)::text <> (old.status)::text))) EXECUTE FUNCTION public.refuse_final_status_change();
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT fk_attempts_run_id_runs FOREIGN KEY (run_id) REFERENCES public.runs(id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_run_id_runs FOREIGN KEY (run_id) REFERENCES public.runs(id);
ALTER TABLE ONLY public.pipeline_states
    ADD CONSTRAINT fk_pipeline_states_pipeline_id_pipelines FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT fk_runs_pipeline_id_pipelines FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT fk_schedules_pipeline_id_pipelines FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT fk_versions_pipeline_id_pipelines FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT fk_versions_source_sha256_sources FOREIGN KEY (source_sha256) REFERENCES public.sources(sha256);
