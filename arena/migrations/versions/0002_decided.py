"""Pairs about which no more is asked, because their better contender is known.

Columns are added in place. Alembic's batch mode would copy and drop the table, which SQLite refuses as soon as
another table refers to a row of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pairs", sa.Column("decided", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("pairs", "decided")
