"""workers of one stage, what keeps a job's workers from running, and jobs that are begun again"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tasks_stage_id"))
        columns = ["stage_id", "state", "run_after"]
        batch_op.create_index(batch_op.f("ix_tasks_stage_id_state_run_after"), columns, unique=False)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("obstacle", sa.String(length=1024), nullable=True))
        batch_op.add_column(sa.Column("overrides", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("overrides")
        batch_op.drop_column("obstacle")
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tasks_stage_id_state_run_after"))
        batch_op.create_index(batch_op.f("ix_tasks_stage_id"), ["stage_id"], unique=False)
