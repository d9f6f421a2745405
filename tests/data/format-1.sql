BEGIN TRANSACTION;
CREATE TABLE answer (operation INTEGER PRIMARY KEY, rows TEXT NOT NULL, left_out INTEGER NOT NULL DEFAULT 0);
INSERT INTO "answer" VALUES(1,'[{"result":"u1"}]',0);
CREATE TABLE attempt (
    operation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    kind TEXT NOT NULL,
    exit_code INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (operation, number)
) WITHOUT ROWID;
CREATE TABLE event (at INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
INSERT INTO "event" VALUES(2000,'started','op on mx1');
INSERT INTO "event" VALUES(3000,'ended','stopped with work left: step 1 (S1): an operation failed');
INSERT INTO "event" VALUES(4000,'started','op on mx1');
CREATE TABLE host (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, url TEXT NOT NULL);
INSERT INTO "host" VALUES(1,'d1','http://10.0.0.1:8080/doveadm/v1');
INSERT INTO "host" VALUES(2,'d2','http://10.0.0.2:8080/doveadm/v1');
INSERT INTO "host" VALUES(3,'b1','http://10.0.1.1:8080/doveadm/v1');
INSERT INTO "host" VALUES(4,'b2','http://10.0.1.2:8080/doveadm/v1');
INSERT INTO "host" VALUES(5,'b3','http://10.0.1.3:8080/doveadm/v1');
INSERT INTO "host" VALUES(6,'b9','http://10.0.1.9:8080/doveadm/v1');
CREATE TABLE list (path TEXT NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('changes','["b1", "b2"]');
INSERT INTO "meta" VALUES('config_path','/etc/o/config.yaml');
INSERT INTO "meta" VALUES('created','1000');
INSERT INTO "meta" VALUES('digest','7c02ad1e4b41acb2');
INSERT INTO "meta" VALUES('given','{"user": "ü"}');
INSERT INTO "meta" VALUES('groups','{"directors": ["d1", "d2"], "backends": ["b1", "b2", "b3", "b9"]}');
INSERT INTO "meta" VALUES('limit','b*');
INSERT INTO "meta" VALUES('playbook','P');
INSERT INTO "meta" VALUES('playbook_folder','/nowhere');
INSERT INTO "meta" VALUES('playbook_source','playbook.yaml');
INSERT INTO "meta" VALUES('playbook_text','name: P
steps:
  - {name: S1, hosts: ''b[1-2]'', for_each: [u1, u2], command: kick, parameters: {mask: [''{{ item }}'']}, register: kicked}
  - {name: S2, hosts: d1, command: who}
');
INSERT INTO "meta" VALUES('run_id','20261101-020000-kick');
CREATE TABLE operation (
    seq INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    host INTEGER NOT NULL,
    state INTEGER NOT NULL,          -- outcome.State
    attempts INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    changed INTEGER,
    started INTEGER,                 -- of the last attempt
    finished INTEGER,
    parameters TEXT NOT NULL
);
INSERT INTO "operation" VALUES(1,0,3,2,1,NULL,1,2100,2105,'{"mask":["u1"]}');
INSERT INTO "operation" VALUES(2,0,4,3,1,64,NULL,2100,2110,'{"mask":["u1"]}');
INSERT INTO "operation" VALUES(3,0,3,0,0,NULL,NULL,NULL,NULL,'{"mask":["u2"]}');
INSERT INTO "operation" VALUES(4,0,4,0,0,NULL,NULL,NULL,NULL,'{"mask":["u2"]}');
INSERT INTO "operation" VALUES(5,1,1,0,0,NULL,NULL,NULL,NULL,'{}');
CREATE TABLE remark (
    operation INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,              -- outcome.Kind of the last attempt
    error TEXT NOT NULL,
    evidence TEXT NOT NULL DEFAULT ''  -- what the host logged about it
);
INSERT INTO "remark" VALUES(2,'failed','bad: b','');
CREATE TABLE step (
    number INTEGER PRIMARY KEY,      -- place in the plan
    key TEXT NOT NULL UNIQUE,        -- "3", "3.verify"
    role TEXT NOT NULL,              -- step, verify, undo, finally
    name TEXT NOT NULL,
    command TEXT NOT NULL,
    effect TEXT NOT NULL,            -- read, repeatable, unrepeatable
    state TEXT NOT NULL,             -- pending, running, done, failed, skipped
    reason TEXT NOT NULL DEFAULT '', -- why it was skipped or failed
    first INTEGER,                   -- its first operation; NULL until it is expanded
    operations INTEGER,              -- how many it has
    started INTEGER,
    finished INTEGER
);
INSERT INTO "step" VALUES(0,'1','step','S1','kick','repeatable','running','',1,4,2050,NULL);
INSERT INTO "step" VALUES(1,'2','step','S2','who','read','pending','',5,1,NULL,NULL);
CREATE INDEX open_operation ON operation (step, host, seq) WHERE state < 2;
CREATE INDEX not_done_operation ON operation (state, step) WHERE state > 2;
COMMIT;
