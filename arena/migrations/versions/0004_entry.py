"""The language a rater came in, and attention checks that a person looked at and set aside."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("raters", sa.Column("language", sa.String(20), nullable=False, server_default=""))
    op.create_table(
        "set_aside",
        sa.Column("assignment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name=op.f("fk_set_aside_assignment_id")
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_set_aside")),
    )


def downgrade() -> None:
    op.drop_table("set_aside")
    op.drop_column("raters", "language")
