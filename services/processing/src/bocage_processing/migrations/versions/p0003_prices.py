"""A job is settled by the price list of the moment at which it was submitted, and counts the area that it processed."""

from __future__ import annotations

from alembic import op

revision = "p0003"
down_revision = "p0002"

_FUNCTION = """
create or replace function job_end(p_job uuid, p_attempt integer, p_state job_state, p_usage jsonb, p_results jsonb,
                        p_error jsonb, p_message text) returns text language plpgsql as $$
declare
    j job;
    v_price numeric(18,4);
    v_state job_state := p_state;
begin
    select * into j from job where id = p_job for update;
    if not found then
        return 'refused';
    end if;
    if j.ended_attempt = p_attempt then
        return 'replay';
    end if;
    if not (j.attempt = p_attempt) or j.state <> 'running' or j.phase = 'publishing' then
        return 'refused';
    end if;
    if j.cancel_requested then
        v_state := 'dismissed';
    end if;
    update job_attempt set ended = now(), outcome = v_state::text where job = p_job and attempt = p_attempt;
    if v_state = 'successful' then
        v_price := least(
            rights.price(
                j.process, p_usage, j.category,
                array(select distinct i ->> 'collection' from jsonb_array_elements(j.items) i where i ? 'collection'),
                j.created),
            j.reserved);
        perform rights.job_settle(p_job, v_price, (p_usage ->> 'area_km2')::numeric);
        if j.publishes then
            insert into outbox (job, attempt) values (p_job, p_attempt);
            update job
               set phase = 'publishing', message = 'Publishing the results in the catalogue.',
                   ended_attempt = p_attempt, lease_until = null, usage = p_usage, results = p_results,
                   price = v_price, progress = 99
             where id = p_job;
            return 'publishing';
        end if;
        update job
           set state = 'successful', phase = 'ended', message = p_message, ended_attempt = p_attempt, progress = 100,
               lease_until = null, usage = p_usage, results = p_results, price = v_price, finished = now()
         where id = p_job;
        return 'ended';
    end if;
    perform rights.credit_release(p_job);
    update job
       set state = v_state, phase = 'ended', ended_attempt = p_attempt, lease_until = null, price = 0, usage = p_usage,
           message = case when v_state = 'dismissed' then 'Dismissed.' else p_message end,
           error = case when v_state = 'dismissed' then null else p_error end, finished = now()
     where id = p_job;
    return case when v_state = p_state then 'ended' else v_state::text end;
end
$$;
"""


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute("set local search_path to processing, public")
    connection.execute(_FUNCTION)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
