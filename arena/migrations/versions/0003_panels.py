"""Votes bound to images, to the consent text and to how they were shown; what panels need of a rater."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ASSIGNMENTS = [
    f"{side}_{what}" for what in ("sha256", "sent_sha256") for side in ("left", "right", "reference")
]
RATERS = {
    "consent_version": sa.String(40),
    "consent_sha256": sa.String(64),
    "session_hash": sa.String(64),
    "declared": sa.JSON(),
}
RATERS_FILLED = {"standing": 20, "standing_reason": 200, "code": 20, "practice": 10}


def upgrade() -> None:
    for name in ASSIGNMENTS:
        op.add_column("assignments", sa.Column(name, sa.String(64), nullable=True))
    op.add_column("votes", sa.Column("display", sa.JSON(), nullable=True))
    for name, kind in RATERS.items():
        op.add_column("raters", sa.Column(name, kind, nullable=True))
    for name, length in RATERS_FILLED.items():
        op.add_column("raters", sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.add_column("panels", sa.Column("verified", sa.String(10), nullable=False, server_default=""))
    op.create_table(
        "participant_lists",
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("participant", sa.String(200), nullable=False),
        sa.Column("listed", sa.String(3), nullable=False),
        sa.PrimaryKeyConstraint("provider", "participant", name=op.f("pk_participant_lists")),
    )
    op.create_table(
        "session_codes",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("rater_id", sa.String(64), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["rater_id"], ["raters.id"], name=op.f("fk_session_codes_rater_id")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_session_codes")),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name=op.f("fk_reports_assignment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )


def downgrade() -> None:
    for table in ("reports", "session_codes", "participant_lists"):
        op.drop_table(table)
    op.drop_column("panels", "verified")
    for name in (*RATERS, *RATERS_FILLED):
        op.drop_column("raters", name)
    op.drop_column("votes", "display")
    for name in ASSIGNMENTS:
        op.drop_column("assignments", name)
