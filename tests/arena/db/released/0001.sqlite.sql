PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES('0001');
CREATE TABLE invites (
	code_hash VARCHAR(64) NOT NULL, 
	label VARCHAR(200) NOT NULL, 
	uses INTEGER NOT NULL, 
	used INTEGER NOT NULL, 
	CONSTRAINT pk_invites PRIMARY KEY (code_hash)
);
INSERT INTO invites VALUES('00b5d73857573352800f0308b62621f8','lab',2,1);
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
	both_bad INTEGER NOT NULL, 
	CONSTRAINT pk_pairs PRIMARY KEY (id), 
	CONSTRAINT uq_pairs_question_first_second UNIQUE (question, first, second)
);
INSERT INTO pairs VALUES(1,'quality','sdxl-turbo@1','sdxl-turbo@4',6,3,2,0,1,1,0);
INSERT INTO pairs VALUES(2,'quality','sdxl-turbo@1','sdxl@50',6,3,3,0,2,1,0);
INSERT INTO pairs VALUES(3,'quality','sdxl-turbo@4','sdxl@50',6,4,3,1,1,1,0);
CREATE TABLE raters (
	id VARCHAR(64) NOT NULL, 
	created FLOAT NOT NULL, 
	group_label VARCHAR(200) NOT NULL, 
	issued INTEGER NOT NULL, 
	voted INTEGER NOT NULL, 
	simulated BOOLEAN NOT NULL, 
	CONSTRAINT pk_raters PRIMARY KEY (id)
);
INSERT INTO raters VALUES('a14640407b4b5b704c728061983164eb',1700000001.3749999999,'prolific',4,3,0);
INSERT INTO raters VALUES('70b9843f5fd057977530648ea1ab9c8b',1700000002.5,'mturk',5,3,0);
INSERT INTO raters VALUES('2d14e2c703ace56ebec4abe3fe83251b',1700000003.625,'lab',7,4,0);
INSERT INTO raters VALUES('51ab548bcba1800d002b1fad68df7c8e',1700000004.75,'',2,1,0);
CREATE TABLE settings (
	"key" VARCHAR(40) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY ("key")
);
INSERT INTO settings VALUES('phase','open');
INSERT INTO settings VALUES('chain','13:a5ea5d349af13a45e8c2e9dc4831fd0f89d2d9822b35b4a64ad851e7235661e0');
INSERT INTO settings VALUES('invites','yes');
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
INSERT INTO cells VALUES(1,1,'secret0',0,1);
INSERT INTO cells VALUES(2,1,'secret1',0,1);
INSERT INTO cells VALUES(3,1,'secret2',0,1);
INSERT INTO cells VALUES(4,2,'secret0',0,2);
INSERT INTO cells VALUES(5,2,'secret1',0,0);
INSERT INTO cells VALUES(6,2,'secret2',0,1);
INSERT INTO cells VALUES(7,3,'secret0',0,1);
INSERT INTO cells VALUES(8,3,'secret1',0,2);
INSERT INTO cells VALUES(9,3,'secret2',0,1);
CREATE TABLE panels (
	provider VARCHAR(40) NOT NULL, 
	participant VARCHAR(200) NOT NULL, 
	panel_study VARCHAR(200) NOT NULL, 
	panel_session VARCHAR(200) NOT NULL, 
	salt VARCHAR(64) NOT NULL, 
	rater_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_panels PRIMARY KEY (provider, participant), 
	CONSTRAINT fk_panels_rater_id FOREIGN KEY(rater_id) REFERENCES raters (id)
);
INSERT INTO panels VALUES('prolific','5f00aa','s1','t1','bcfbc85b37ce91cbde1fc1b0ea6b44f1','a14640407b4b5b704c728061983164eb');
INSERT INTO panels VALUES('mturk','A1B2','h','a','30436dd729fe69bd9e8ceba6a07d1dec','70b9843f5fd057977530648ea1ab9c8b');
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
	revision INTEGER NOT NULL, 
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
INSERT INTO assignments VALUES(1,'ce59796168e9338b87fe1a1a45cfed92','20db2ebba29a7b376c967c681d288c47','9dcc11de459506c4f129b2635ed2db28',NULL,'a14640407b4b5b704c728061983164eb',0,3,'vote','quality','secret2',0,'sdxl-turbo@4','sdxl-turbo@1','','','',NULL,replace('sdxl-turbo@1\nsdxl-turbo@4\nsecret2\n0','\n',char(10)),0.33333333333333331482,0.33333333333333331482,1700000005.8749999999,1700000605.875,'voted',0);
INSERT INTO assignments VALUES(2,'57ef1a62f06d7d4c1ca085058af1765c','931b90ef64b84c25fc2d894300ffac10','842541d1af6a659a8f5a0d964db7dd00',NULL,'a14640407b4b5b704c728061983164eb',1,6,'vote','quality','secret2',0,'sdxl@50','sdxl-turbo@1','','','',NULL,replace('sdxl-turbo@1\nsdxl@50\nsecret2\n0','\n',char(10)),0.5,0.33333333333333331482,1700000005.8749999999,1700000610.3749999999,'voted',2);
INSERT INTO assignments VALUES(3,'0cba9e2a5de70f4aba744b50f26b23f6','8e5449e0444c86ada1da2fa02b6e6c34','3456f3f717e9cdb03baa663226c270f7',NULL,'a14640407b4b5b704c728061983164eb',2,8,'vote','quality','secret1',0,'sdxl-turbo@4','sdxl@50','','','',NULL,replace('sdxl-turbo@4\nsdxl@50\nsecret1\n0','\n',char(10)),1.0,0.33333333333333331482,1700000008.1249999999,1700000608.125,'voted',0);
INSERT INTO assignments VALUES(4,'ab432ab5b9688056e6d8e6102767594f','263a5a4ec51d127b919148b23fd1d750','f545f878523265b4b434162df39c970e',NULL,'a14640407b4b5b704c728061983164eb',3,5,'vote','quality','secret1',0,'sdxl@50','sdxl-turbo@1','','','',NULL,replace('sdxl-turbo@1\nsdxl@50\nsecret1\n0','\n',char(10)),0.33333333333333331482,0.5,1700000013.7499999999,1700000613.7499999999,'expired',0);
INSERT INTO assignments VALUES(5,'ff1363f06784da05ee1c00f30191f2bf','39d17f67e812a004ef958f8ca637a9c9','dc7b59604dcf1994241e5bd715f65202',NULL,'70b9843f5fd057977530648ea1ab9c8b',0,NULL,'check','quality','secret1',0,'sdxl-turbo@4','sdxl-turbo@4','degraded','','right',NULL,NULL,0.14999999999999999444,0.25,1700000016.0,1700000616.0,'voted',0);
INSERT INTO assignments VALUES(6,'3ca52fb54ebd502e27a8ab9f73ab86f4','9621781e13f177c13f8bff3e16e4fded','37175376186829585af0328332bad35a',NULL,'70b9843f5fd057977530648ea1ab9c8b',1,7,'vote','quality','secret0',0,'sdxl-turbo@4','sdxl@50','','','',NULL,replace('sdxl-turbo@4\nsdxl@50\nsecret0\n0','\n',char(10)),0.5,0.5,1700000016.0,1700000616.0,'voted',0);
INSERT INTO assignments VALUES(7,'0a963a405deb8dc674527d76545aa91b','1bc6eec7310c17ccb330075e57ed14dc','5d8fd76eebf51ff2929674fa5e905717',NULL,'70b9843f5fd057977530648ea1ab9c8b',2,1,'vote','quality','secret0',0,'sdxl-turbo@1','sdxl-turbo@4','','','',NULL,replace('sdxl-turbo@1\nsdxl-turbo@4\nsecret0\n0','\n',char(10)),1.0,0.5,1700000018.2499999999,1700000618.25,'skipped',0);
INSERT INTO assignments VALUES(8,'691b4c839e315f9c1c06d55c0dc307eb','03ba9246043798ecf908deb34e8f8e8b','f8749bafcccd1951363a614efc2e6f2d',NULL,'70b9843f5fd057977530648ea1ab9c8b',3,4,'vote','quality','secret0',0,'sdxl-turbo@1','sdxl@50','','','',NULL,replace('sdxl-turbo@1\nsdxl@50\nsecret0\n0','\n',char(10)),0.33333333333333331482,1.0,1700000020.4999999999,1700000620.5,'voted',0);
INSERT INTO assignments VALUES(9,'d65776a04b371c26564e9cb8e0be6db0','a1e8d97ba3fe5929d25c5ab83dea6d0c','8b25c4997f789588157f71ec0747e867',NULL,'70b9843f5fd057977530648ea1ab9c8b',4,2,'vote','quality','secret1',0,'sdxl-turbo@4','sdxl-turbo@1','','','',NULL,replace('sdxl-turbo@1\nsdxl-turbo@4\nsecret1\n0','\n',char(10)),1.0,1.0,1700000021.625,1700000621.6249999999,'expired',0);
INSERT INTO assignments VALUES(10,'c23d95bdffc60d98d06e0558501a88d3','99bca5a61449f86b9cf147253cd4420e','ef3969a3f86a600858e139cd30395a7e',NULL,'2d14e2c703ace56ebec4abe3fe83251b',0,1,'vote','quality','secret0',0,'sdxl-turbo@4','sdxl-turbo@1','','','',NULL,replace('sdxl-turbo@1\nsdxl-turbo@4\nsecret0\n0','\n',char(10)),0.5,1.0,1700000023.875,1700000623.8749999999,'voted',0);
INSERT INTO assignments VALUES(11,'88e00135a2276d21208236fb115c4ebb','3aacfd2109d961a15ec380e562febac9','17d8372b40023f6fd8c57c5f6ff13426',NULL,'2d14e2c703ace56ebec4abe3fe83251b',1,9,'vote','quality','secret2',0,'sdxl@50','sdxl-turbo@4','','','',NULL,replace('sdxl-turbo@4\nsdxl@50\nsecret2\n0','\n',char(10)),1.0,1.0,1700000023.875,1700000623.8749999999,'voted',0);
INSERT INTO assignments VALUES(12,'d771af6b3ddc784b5ad72524cef50174','0caad29e3d3b2dda5d95562bdba1dbf9','fc2acbf5f6fcf77c62c157b057d7c0ba',NULL,'2d14e2c703ace56ebec4abe3fe83251b',2,4,'vote','quality','secret0',0,'sdxl-turbo@1','sdxl@50','','','',NULL,replace('sdxl-turbo@1\nsdxl@50\nsecret0\n0','\n',char(10)),0.33333333333333331482,0.33333333333333331482,1700000026.1249999999,1700000626.1249999999,'voted',0);
INSERT INTO assignments VALUES(13,'413127464675804a973757783bbe5e67','51c1d01cf21e8360483272d2f6f906fd','5ae9ec2da5c680a0b5b3e8ef9898d37f',NULL,'2d14e2c703ace56ebec4abe3fe83251b',3,NULL,'check','quality','secret2',0,'sdxl-turbo@4','sdxl-turbo@4','degraded','','right',NULL,NULL,0.14999999999999999444,0.25,1700000028.3749999999,1700000628.3749999999,'voted',0);
INSERT INTO assignments VALUES(14,'3a5d1c2eacb5d11664abea7df21db645','ea50508cc50f0dde2e1bb98058e07f5c','37118fcba2b85fc6b0130f5bb717d1b1',NULL,'2d14e2c703ace56ebec4abe3fe83251b',4,7,'vote','quality','secret0',0,'sdxl-turbo@4','sdxl@50','','','',NULL,replace('sdxl-turbo@4\nsdxl@50\nsecret0\n0','\n',char(10)),0.5,0.5,1700000030.6249999999,1700000630.625,'expired',0);
INSERT INTO assignments VALUES(15,'6d19c90832af77c2924b424e29dd095d','063416ab8debe547d0cbd1d5e1dd557c','1af91ffb8bb4ddb0fbcf4ab736e3394b',NULL,'51ab548bcba1800d002b1fad68df7c8e',0,NULL,'check','quality','secret2',0,'sdxl-turbo@4','sdxl-turbo@4','','degraded','left',NULL,NULL,0.14999999999999999444,0.33333333333333331482,1700000032.8749999999,1700000632.8749999999,'voted',0);
INSERT INTO assignments VALUES(16,'be0c0f57953952a662f7bb2d0c30a694','00fa6b795b98078c905112c6bb5e2d40','2b3a1046622b8376d488f04937eb11d1',NULL,'51ab548bcba1800d002b1fad68df7c8e',1,NULL,'check','quality','secret0',0,'sdxl-turbo@4','sdxl-turbo@4','degraded','','right',NULL,NULL,0.14999999999999999444,0.33333333333333331482,1700000032.8749999999,1700000632.8749999999,'expired',0);
INSERT INTO assignments VALUES(17,'8c8c73acd83631cc8e36485b94f50e59','0a0d7858c640e2bcb0fe00f0362c04d4','d7071eece2f4c6d70531272ce680b2de',NULL,'2d14e2c703ace56ebec4abe3fe83251b',5,2,'vote','quality','secret1',0,'sdxl-turbo@1','sdxl-turbo@4','','','',NULL,replace('sdxl-turbo@1\nsdxl-turbo@4\nsecret1\n0','\n',char(10)),1.0,1.0,1700003636.25,1700004236.25,'open',0);
INSERT INTO assignments VALUES(18,'600c2573de24e3f90d1b415d8f43def4','c3d15024d5d482870cb4eefaf0498a2a','41edad5c043ff8ef453a96daa0542c7a',NULL,'2d14e2c703ace56ebec4abe3fe83251b',6,8,'vote','quality','secret1',0,'sdxl@50','sdxl-turbo@4','','','',NULL,replace('sdxl-turbo@4\nsdxl@50\nsecret1\n0','\n',char(10)),0.33333333333333331482,1.0,1700003636.25,1700004236.25,'open',0);
CREATE TABLE votes (
	seq INTEGER NOT NULL, 
	assignment_id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	answer VARCHAR(10) NOT NULL, 
	seconds FLOAT, 
	created FLOAT NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_votes PRIMARY KEY (seq), 
	CONSTRAINT fk_votes_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignments (id), 
	CONSTRAINT uq_votes_assignment_id_revision UNIQUE (assignment_id, revision)
);
INSERT INTO votes VALUES(1,1,0,'left',1.125,1700000007.0,'a8d2dbf33ddf9a69edb690f16f92d30decb97bf4e3ea5fe05c2507e8cae2acea');
INSERT INTO votes VALUES(2,2,0,'right',NULL,1700000009.25,'0a7af8a951c868bb745f94d1ff714752c18af24937e0454ceec0f7179589759c');
INSERT INTO votes VALUES(3,2,1,'undo',NULL,1700000010.375,'8e9501a25b2fe9c90341fed2858572f3c48a47ce595425e6e238cdc156e5f075');
INSERT INTO votes VALUES(4,2,2,'tie',3.5,1700000012.625,'c42a2f119601700b634e86fca4c3a3d73114c38f82352966bb152d36d2695af6');
INSERT INTO votes VALUES(5,3,0,'left',4.5,1700000014.875,'c3e2dc4787438df5497a2427058472d013ee1f32137f2a0ea980343d66ab5e02');
INSERT INTO votes VALUES(6,5,0,'right',1.125,1700000017.125,'28fb977099540d660d5b156396ac3f4be7636ec1de55474ba7a0e505abb4b13b');
INSERT INTO votes VALUES(7,6,0,'tie',NULL,1700000019.375,'49fab4603db15df56cd04287985b18a8907392b3688243241294cfbff1297605');
INSERT INTO votes VALUES(8,8,0,'right',2.25,1700000022.7499999999,'16184aeaafdb499ccd5799a4af4261621d91fa326cf689af3d35865971423739');
INSERT INTO votes VALUES(9,10,0,'tie',1.125,1700000025.0,'4487e721c28f316a0f7fb391bfef0018b53d78307ba5592575ae13004b5ca4e2');
INSERT INTO votes VALUES(10,11,0,'left',NULL,1700000027.25,'ba593bfb10eb74da39ba84660e1cea5ef9c3f4fe0fa2b173056e0ae432db7257');
INSERT INTO votes VALUES(11,12,0,'right',3.375,1700000029.4999999999,'618f1249b36f2fd5b64f631daec33a7fe03b3f85c6e9913b5619237ea098fa1a');
INSERT INTO votes VALUES(12,13,0,'tie',3.375,1700000031.75,'e7eb644e8583df8ee0322596e73ff2a9708e4d4becf8f88bedc500be4cafb48e');
INSERT INTO votes VALUES(13,15,0,'left',1.125,1700000034.0,'a5ea5d349af13a45e8c2e9dc4831fd0f89d2d9822b35b4a64ad851e7235661e0');
CREATE INDEX ix_panels_rater_id ON panels (rater_id);
CREATE INDEX ix_assignments_state_expires ON assignments (state, expires);
COMMIT;
