PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE assignments (
	id INTEGER NOT NULL, 
	token VARCHAR(64) NOT NULL, 
	left_token VARCHAR(64) NOT NULL, 
	right_token VARCHAR(64) NOT NULL, 
	reference_token VARCHAR(64), 
	rater_id VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	cell_id INTEGER, 
	kind VARCHAR(10) NOT NULL, 
	question VARCHAR(40) NOT NULL, 
	prompt_id VARCHAR(200) NOT NULL, 
	replicate INTEGER NOT NULL, 
	"left" VARCHAR(200) NOT NULL, 
	"right" VARCHAR(200) NOT NULL, 
	left_change VARCHAR(200) NOT NULL, 
	right_change VARCHAR(200) NOT NULL, 
	expected VARCHAR(10) NOT NULL, 
	repeats INTEGER, 
	scene VARCHAR(500), 
	probability FLOAT NOT NULL, 
	prompt_probability FLOAT NOT NULL, 
	issued FLOAT NOT NULL, 
	expires FLOAT NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	revision INTEGER NOT NULL, left_sha256 VARCHAR(64), right_sha256 VARCHAR(64), reference_sha256 VARCHAR(64), left_sent_sha256 VARCHAR(64), right_sent_sha256 VARCHAR(64), reference_sent_sha256 VARCHAR(64), 
	CONSTRAINT pk_assignments PRIMARY KEY (id), 
	CONSTRAINT fk_assignments_cell_id FOREIGN KEY(cell_id) REFERENCES cells (id), 
	CONSTRAINT fk_assignments_rater_id FOREIGN KEY(rater_id) REFERENCES raters (id), 
	CONSTRAINT uq_assignments_left_token UNIQUE (left_token), 
	CONSTRAINT uq_assignments_rater_id_number UNIQUE (rater_id, number), 
	CONSTRAINT uq_assignments_rater_id_scene UNIQUE (rater_id, scene), 
	CONSTRAINT uq_assignments_reference_token UNIQUE (reference_token), 
	CONSTRAINT uq_assignments_right_token UNIQUE (right_token), 
	CONSTRAINT uq_assignments_token UNIQUE (token)
);
INSERT INTO "assignments" VALUES(1,'6a4d5297d238f40a9fe01f4dd917b3c7','603193dd4c79f9449615067917814198','38e0f9e0ee503a638930d1b67080c1c9',NULL,'4bd0b1e6f3ac35c7d5a619434f189a0c',0,5,'vote','quality','secret1',0,'sdxl-turbo@1','sdxl@50','','','',NULL,'sdxl-turbo@1
sdxl@50
secret1
0',3.33333333333333314829e-01,3.33333333333333314829e-01,1700000006.75,1700000246.75,'voted',0,'a547cdb39222abab3ccf2980c3f47729d731b07cd5d613c9632bc6b6c60899ba','7b36a5dfd142b102f977d6a447ca81151909e8bfb7e766fb9447fb69875979d2',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(2,'936196ae47556dea0961cfed31495607','547fb1fd09f8169b2c95d8ab079310b2','cabd52dc4e508e53412ff2f6322cb18a',NULL,'4bd0b1e6f3ac35c7d5a619434f189a0c',1,NULL,'check','quality','secret2',0,'sdxl-turbo@4','sdxl-turbo@4','','degraded','left',NULL,NULL,0.3,1.66666666666666657414e-01,1700000006.75,1700000915.25,'voted',2,'f35b9436735dc45a6e5946a260633d4caf3067a2de402c5e09c0e6c2722468b9','f35b9436735dc45a6e5946a260633d4caf3067a2de402c5e09c0e6c2722468b9',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(3,'ca4da86f43bf6ac7a1056ca05b10f0da','10adda81a5c15ed58521c8627b27f392','b46ac7955be456689486919504ae7d3b',NULL,'4bd0b1e6f3ac35c7d5a619434f189a0c',2,2,'vote','quality','secret1',0,'sdxl-turbo@1','sdxl-turbo@4','','','',NULL,'sdxl-turbo@1
sdxl-turbo@4
secret1
0',0.5,3.33333333333333314829e-01,1700000011.0,1700000911.0,'expired',0,'a547cdb39222abab3ccf2980c3f47729d731b07cd5d613c9632bc6b6c60899ba','cd2996937e9733b42afb156320a2e8f8e9999f17d71775222783335ecfd78a9d',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(4,'8e07b19140b6a41a4fb6bcb6d794cfa7','c341e4d4f349f2fc3a04d3922aad5f44','c2f33e10e271647b8cf99bda4bac85a3',NULL,'addaf8cf9dccf4c696b753c454751730',0,8,'vote','quality','secret1',0,'sdxl@50','sdxl-turbo@4','','','',NULL,'sdxl-turbo@4
sdxl@50
secret1
0',1.0,3.33333333333333314829e-01,1700000020.625,1700000260.625,'voted',0,'7b36a5dfd142b102f977d6a447ca81151909e8bfb7e766fb9447fb69875979d2','cd2996937e9733b42afb156320a2e8f8e9999f17d71775222783335ecfd78a9d',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(5,'391fa916d5a31558b3d0f3cc257c0d11','4f8f982670ef2605f7743c4b8c29596d','e1a86ddf0b5c711e3f0a500bbf85e09a',NULL,'addaf8cf9dccf4c696b753c454751730',1,3,'vote','quality','secret2',0,'sdxl-turbo@4','sdxl-turbo@1','','','',NULL,'sdxl-turbo@1
sdxl-turbo@4
secret2
0',3.33333333333333314829e-01,0.5,1700000020.625,1700000260.625,'voted',0,'f35b9436735dc45a6e5946a260633d4caf3067a2de402c5e09c0e6c2722468b9','633c8932ae14394dc3a5f0e1b9195c835551e70ed1c7d6ac8c26c080fdbd35e0',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(6,'3934810b2bd0b7600cb7ebb7bcad1c96','940283e11b7b00ece3f10afb455c7147','40489eff3c2338097789464f3501da01',NULL,'addaf8cf9dccf4c696b753c454751730',2,NULL,'check','quality','secret0',0,'sdxl-turbo@1','sdxl-turbo@1','degraded','','right',NULL,NULL,0.3,0.25,1700000024.875,1700000924.875,'voted',0,'684c2e4a8001a06282c863c3291d3ff87e22510f655945dfed19db40d6681e13','684c2e4a8001a06282c863c3291d3ff87e22510f655945dfed19db40d6681e13',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(7,'310e8a99ada61b89685f0808a8d0eaf2','a9806e68381ca74ada92479c2a6d6c43','e312dd0aa9d3d9fa5bc426def709fe56',NULL,'addaf8cf9dccf4c696b753c454751730',3,NULL,'check','quality','secret2',0,'sdxl@50','sdxl@50','','degraded','left',NULL,NULL,0.3,0.25,1700000029.125,1700000929.125,'expired',0,'10e0a6d27c798917dd9b395824a59aa6ff91256182c83fb14298ab4d9e503e9b','10e0a6d27c798917dd9b395824a59aa6ff91256182c83fb14298ab4d9e503e9b',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(8,'4eb46af5e75569236a7c8be58ada98dc','de67dd75fa35b1dec4802385708add62','bb887c98d61a54aea3bb2b8f6736421a',NULL,'5fe723520b96b095d8e8817263c12629',0,4,'vote','quality','secret0',0,'sdxl-turbo@1','sdxl@50','','','',NULL,'sdxl-turbo@1
sdxl@50
secret0
0',0.5,0.5,1700000033.375,1700000273.375,'voted',0,'684c2e4a8001a06282c863c3291d3ff87e22510f655945dfed19db40d6681e13','cfd89f3b7afe5944e6841cb7e4ec31446fcc2e206541bbf88743f657d5f96e44',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(9,'e38dccf0b840bfcf6582cc8141f57345','7e5166b894f632b701b0d53c6b43baef','d7ec50fab98c1b423599688551f5904d',NULL,'5fe723520b96b095d8e8817263c12629',1,NULL,'check','quality','secret0',0,'sdxl-turbo@4','sdxl-turbo@4','','degraded','left',NULL,NULL,0.3,0.5,1700000033.375,1700000273.375,'skipped',0,'cc36722f34d7a5c5e4f04a56021cb8c7c34de66e6884648a72a8ede508a225c2','cc36722f34d7a5c5e4f04a56021cb8c7c34de66e6884648a72a8ede508a225c2',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(10,'abe0ee02c559d4c989394b6a7fe9c9fc','b22f2205ab63636001efa49d6404d696','b46f610f72352fa2526d99a09d7f1b55',NULL,'5fe723520b96b095d8e8817263c12629',2,9,'vote','quality','secret2',0,'sdxl-turbo@4','sdxl@50','','','',NULL,'sdxl-turbo@4
sdxl@50
secret2
0',1.0,0.5,1700000037.625,1700000937.625,'voted',0,'f35b9436735dc45a6e5946a260633d4caf3067a2de402c5e09c0e6c2722468b9','10e0a6d27c798917dd9b395824a59aa6ff91256182c83fb14298ab4d9e503e9b',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(11,'bc62e5adcbb3d6ea377c425a6381de9b','a7d0efbc7c0f507d11c0ad059468e196','daaa0fadeece7005ce319bf61596815e',NULL,'5fe723520b96b095d8e8817263c12629',3,1,'vote','quality','secret0',0,'sdxl-turbo@4','sdxl-turbo@1','','','',NULL,'sdxl-turbo@1
sdxl-turbo@4
secret0
0',3.33333333333333314829e-01,1.0,1700000038.75,1700000938.75,'expired',0,'cc36722f34d7a5c5e4f04a56021cb8c7c34de66e6884648a72a8ede508a225c2','684c2e4a8001a06282c863c3291d3ff87e22510f655945dfed19db40d6681e13',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(12,'35dfd074b36d734c0f58b997e7eef899','38292c5df6486c2f292f0b50154f13c2','bda67a98a97f9e435446e74c519e8cc9',NULL,'27bbec4f3bf1d48bd8009d92caf8c1b2',0,6,'vote','quality','secret2',0,'sdxl@50','sdxl-turbo@1','','','',NULL,'sdxl-turbo@1
sdxl@50
secret2
0',0.5,1.0,1700000043.0,1700000283.0,'voted',0,'10e0a6d27c798917dd9b395824a59aa6ff91256182c83fb14298ab4d9e503e9b','633c8932ae14394dc3a5f0e1b9195c835551e70ed1c7d6ac8c26c080fdbd35e0',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(13,'d3b5b3c54c7e24d0df4ee406d6ffabf8','4b4f34bcdecaa4210c415d4fd9b30080','fb56c6cd25f7f54485201b3dd2cfe953',NULL,'27bbec4f3bf1d48bd8009d92caf8c1b2',1,NULL,'check','quality','secret0',0,'sdxl@50','sdxl@50','degraded','','right',NULL,NULL,0.3,1.0,1700000043.0,1700000283.0,'skipped',0,'cfd89f3b7afe5944e6841cb7e4ec31446fcc2e206541bbf88743f657d5f96e44','cfd89f3b7afe5944e6841cb7e4ec31446fcc2e206541bbf88743f657d5f96e44',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(14,'21846b6fe62f48a6e77ab4b2a475d618','c55c6c52ee6efbf203e17055b50ac8ac','0bff3c7039c24ccfae5a04db34d4eff5',NULL,'27bbec4f3bf1d48bd8009d92caf8c1b2',2,7,'vote','quality','secret0',0,'sdxl@50','sdxl-turbo@4','','','',NULL,'sdxl-turbo@4
sdxl@50
secret0
0',1.0,1.0,1700000047.25,1700000947.25,'voted',0,'cfd89f3b7afe5944e6841cb7e4ec31446fcc2e206541bbf88743f657d5f96e44','cc36722f34d7a5c5e4f04a56021cb8c7c34de66e6884648a72a8ede508a225c2',NULL,NULL,NULL,NULL);
INSERT INTO "assignments" VALUES(15,'46a43256b54af8bd09a175a61024d037','d76e7b73a5084645ad6c9b39694979c9','0fad9587cd0724f5ad84d830d312ad50',NULL,'27bbec4f3bf1d48bd8009d92caf8c1b2',3,9,'vote','quality','secret2',0,'sdxl-turbo@4','sdxl@50','','','',NULL,'sdxl-turbo@4
sdxl@50
secret2
0',3.33333333333333314829e-01,0.5,1700000049.5,1700000949.5,'expired',0,'f35b9436735dc45a6e5946a260633d4caf3067a2de402c5e09c0e6c2722468b9','10e0a6d27c798917dd9b395824a59aa6ff91256182c83fb14298ab4d9e503e9b',NULL,NULL,NULL,NULL);
CREATE TABLE cells (
	id INTEGER NOT NULL, 
	pair_id INTEGER NOT NULL, 
	prompt_id VARCHAR(200) NOT NULL, 
	replicate INTEGER NOT NULL, 
	taken INTEGER NOT NULL, 
	CONSTRAINT pk_cells PRIMARY KEY (id), 
	CONSTRAINT fk_cells_pair_id FOREIGN KEY(pair_id) REFERENCES pairs (id), 
	CONSTRAINT uq_cells_pair_id_prompt_id_replicate UNIQUE (pair_id, prompt_id, replicate)
);
INSERT INTO "cells" VALUES(1,1,'secret0',0,0);
INSERT INTO "cells" VALUES(2,1,'secret1',0,0);
INSERT INTO "cells" VALUES(3,1,'secret2',0,1);
INSERT INTO "cells" VALUES(4,2,'secret0',0,1);
INSERT INTO "cells" VALUES(5,2,'secret1',0,1);
INSERT INTO "cells" VALUES(6,2,'secret2',0,1);
INSERT INTO "cells" VALUES(7,3,'secret0',0,1);
INSERT INTO "cells" VALUES(8,3,'secret1',0,1);
INSERT INTO "cells" VALUES(9,3,'secret2',0,1);
CREATE TABLE invites (
	code_hash VARCHAR(64) NOT NULL, 
	label VARCHAR(200) NOT NULL, 
	uses INTEGER NOT NULL, 
	used INTEGER NOT NULL, 
	CONSTRAINT pk_invites PRIMARY KEY (code_hash)
);
INSERT INTO "invites" VALUES('350e2e708b191b1818688e42dc18ee1d','lab',2,1);
CREATE TABLE pairs (
	id INTEGER NOT NULL, 
	question VARCHAR(40) NOT NULL, 
	first VARCHAR(200) NOT NULL, 
	second VARCHAR(200) NOT NULL, 
	wanted INTEGER NOT NULL, 
	taken INTEGER NOT NULL, 
	voted INTEGER NOT NULL, 
	first_wins INTEGER NOT NULL, 
	second_wins INTEGER NOT NULL, 
	ties INTEGER NOT NULL, 
	both_bad INTEGER NOT NULL, decided BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_pairs PRIMARY KEY (id), 
	CONSTRAINT uq_pairs_question_first_second UNIQUE (question, first, second)
);
INSERT INTO "pairs" VALUES(1,'quality','sdxl-turbo@1','sdxl-turbo@4',6,1,1,1,0,0,0,0);
INSERT INTO "pairs" VALUES(2,'quality','sdxl-turbo@1','sdxl@50',6,3,3,2,1,0,0,0);
INSERT INTO "pairs" VALUES(3,'quality','sdxl-turbo@4','sdxl@50',6,3,3,0,1,2,0,0);
CREATE TABLE panels (
	provider VARCHAR(40) NOT NULL, 
	participant VARCHAR(200) NOT NULL, 
	panel_study VARCHAR(200) NOT NULL, 
	panel_session VARCHAR(200) NOT NULL, 
	salt VARCHAR(64) NOT NULL, 
	rater_id VARCHAR(64) NOT NULL, verified VARCHAR(10) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_panels PRIMARY KEY (provider, participant), 
	CONSTRAINT fk_panels_rater_id FOREIGN KEY(rater_id) REFERENCES raters (id)
);
INSERT INTO "panels" VALUES('prolific','p1','st','se','69636321a461b55ef55b7beafd809a9a','4bd0b1e6f3ac35c7d5a619434f189a0c','listed');
INSERT INTO "panels" VALUES('mturk','W1','h','a','3d92089b25fa5e039f52a8e8a95f64d6','addaf8cf9dccf4c696b753c454751730','');
CREATE TABLE participant_lists (
	provider VARCHAR(40) NOT NULL, 
	participant VARCHAR(200) NOT NULL, 
	listed VARCHAR(3) NOT NULL, 
	CONSTRAINT pk_participant_lists PRIMARY KEY (provider, participant)
);
INSERT INTO "participant_lists" VALUES('prolific','p1','in');
CREATE TABLE raters (
	id VARCHAR(64) NOT NULL, 
	created FLOAT NOT NULL, 
	group_label VARCHAR(200) NOT NULL, 
	issued INTEGER NOT NULL, 
	voted INTEGER NOT NULL, 
	simulated BOOLEAN NOT NULL, consent_version VARCHAR(40), consent_sha256 VARCHAR(64), session_hash VARCHAR(64), declared JSON, standing VARCHAR(20) DEFAULT '' NOT NULL, standing_reason VARCHAR(200) DEFAULT '' NOT NULL, code VARCHAR(20) DEFAULT '' NOT NULL, practice VARCHAR(10) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_raters PRIMARY KEY (id)
);
INSERT INTO "raters" VALUES('4bd0b1e6f3ac35c7d5a619434f189a0c',1700000001.125,'prolific',3,2,0,'1','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','98a59ac2eb48c0cf1e961cda0e52b478d7f8dd0f10db829996f5068332ce7dab',NULL,'','','','');
INSERT INTO "raters" VALUES('addaf8cf9dccf4c696b753c454751730',1700000002.25,'mturk',4,3,0,NULL,NULL,'0adae9fa4c384b57e2d40d1dc62d3fc783b7078c66de814045f9941d6cdfd1e6',NULL,'','','','');
INSERT INTO "raters" VALUES('5fe723520b96b095d8e8817263c12629',1700000003.375,'lab',4,2,0,NULL,NULL,'12854a0e2ef18372b97d80d55f931c05183e268c287d3451fdc78e89f0f08773',NULL,'','','','');
INSERT INTO "raters" VALUES('27bbec4f3bf1d48bd8009d92caf8c1b2',1700000004.5,'',4,2,0,NULL,NULL,'ff67e1b76c96ecb2c77552822c36ae0823bf18d89864a9804f6eec9e105e5d67',NULL,'','','','');
CREATE TABLE reports (
	id INTEGER NOT NULL, 
	assignment_id INTEGER NOT NULL, 
	reason VARCHAR(40) NOT NULL, 
	comment TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	CONSTRAINT pk_reports PRIMARY KEY (id), 
	CONSTRAINT fk_reports_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignments (id)
);
INSERT INTO "reports" VALUES(1,13,'broken','left',1700000048.375);
CREATE TABLE session_codes (
	code_hash VARCHAR(64) NOT NULL, 
	rater_id VARCHAR(64) NOT NULL, 
	expires FLOAT NOT NULL, 
	CONSTRAINT pk_session_codes PRIMARY KEY (code_hash), 
	CONSTRAINT fk_session_codes_rater_id FOREIGN KEY(rater_id) REFERENCES raters (id)
);
INSERT INTO "session_codes" VALUES('f87ea6688154bbf80d70163e95645778','addaf8cf9dccf4c696b753c454751730',1700000905.625);
CREATE TABLE settings (
	"key" VARCHAR(40) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('phase','open');
INSERT INTO "settings" VALUES('chain','11:16a9c11a9a00c1234e512743ca02401fca87782d01a2e10d05d7f84601d7b179:9ca44d7a60f786a79343aadb738f09666ff20bc97f1f3654352b2dc1e049d4f4');
INSERT INTO "settings" VALUES('invites','yes');
CREATE TABLE votes (
	seq INTEGER NOT NULL, 
	assignment_id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	answer VARCHAR(10) NOT NULL, 
	seconds FLOAT, 
	created FLOAT NOT NULL, 
	hash VARCHAR(64) NOT NULL, display JSON, 
	CONSTRAINT pk_votes PRIMARY KEY (seq), 
	CONSTRAINT fk_votes_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignments (id), 
	CONSTRAINT uq_votes_assignment_id_revision UNIQUE (assignment_id, revision)
);
INSERT INTO "votes" VALUES(1,1,0,'left',1.5,1700000009.875,'0939fc9dbd098b469a9dda34118c1e9087bb3709bd3050ecebd34debdeb5def9','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(2,2,0,'left',1.5,1700000014.125,'c566da766f99198a3dbae89af9507ca5e1ae257532e97bd2aaa0bb158dd75043','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(3,2,1,'undo',NULL,1700000015.25,'99a29d2a29851ea6a5c08adc6ccd7c97aab371df047ab66598d4229bf5a896fc',NULL);
INSERT INTO "votes" VALUES(4,2,2,'left',1.5,1700000019.5,'09aa345c9bde4d0d31ab85772a4faffee93167c1070b0706fd1fc885f2d22f18','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(5,4,0,'left',1.5,1700000023.75,'42b21b3826317230ea5497e330e3dc6783d23809ee0e36e3f916212c82f528f1','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(6,5,0,'right',1.5,1700000028.0,'407188a135b88272d9b1382bf5981d1d6ad54b2d1c6d6cef37aa05ec17d0c700','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(7,6,0,'right',1.5,1700000032.25,'be25cf195ee89ba55b6309e278c6426bbb51ffe7ca563019933ab2a621278149','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(8,8,0,'left',1.5,1700000036.5,'9ceb55a2a4274419bf8dfe756ec1b99c1f42f92294d8e42e1105c87b9da0076b','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(9,10,0,'tie',1.5,1700000041.875,'86c85dcedd7bd358ac51a043e321bdf656e4d23f69ec04f3ecaa9298055351d0','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(10,12,0,'left',1.5,1700000046.125,'cf7e4da0a7a56f5a3cbf951d1519150f6d23bd8443ad4eb9f5ac5900e37b22d0','{"viewport": [800, 600], "side": 300}');
INSERT INTO "votes" VALUES(11,14,0,'tie',1.5,1700000052.625,'16a9c11a9a00c1234e512743ca02401fca87782d01a2e10d05d7f84601d7b179','{"viewport": [800, 600], "side": 300}');
CREATE INDEX ix_panels_rater_id ON panels (rater_id);
CREATE INDEX ix_assignments_state_expires ON assignments (state, expires);
COMMIT;
