"""The functions through which a job changes state, and nothing else does.

`attempt` is a fencing token: who does not hold the current one can neither beat nor end the job. Credits are settled or
released in the transaction that ends the work. Only the database's clock is used.
"""

from __future__ import annotations

from alembic import op

revision = "p0002"
down_revision = "p0001"

_FUNCTIONS = """
-- accepted -> running. The attempt, or null when there is nothing to do: a double message, dismissed, ended.
create function job_claim(p_job uuid, p_runner text, p_lease interval) returns integer language plpgsql as $$
declare
    v_attempt integer;
begin
    update job
       set state = 'running', phase = 'staging', attempt = attempt + 1, runner = p_runner, message = 'Started.',
           lease_until = now() + p_lease, started = coalesce(started, now())
     where id = p_job and state = 'accepted' and not cancel_requested
    returning attempt into v_attempt;
    if v_attempt is not null then
        insert into job_attempt (job, attempt, runner) values (p_job, v_attempt, p_runner);
    end if;
    return v_attempt;
end
$$;

-- Says why an accepted job does not start yet.
create function job_wait(p_job uuid, p_reason text) returns void language sql as $$
    update job set phase = 'waiting', message = p_reason
     where id = p_job and state = 'accepted' and (phase, message) is distinct from ('waiting', p_reason)
$$;

-- Renews the lease. Null: fenced out. True: asked to stop.
create function job_beat(p_job uuid, p_attempt integer, p_lease interval, p_phase text, p_progress integer,
                         p_message text) returns boolean language sql as $$
    update job
       set lease_until = now() + p_lease, progress = greatest(progress, least(p_progress, 99)),
           phase = case when cancel_requested then 'stopping' else p_phase end,
           message = case when cancel_requested or p_message = '' then message else p_message end
     where id = p_job and attempt = p_attempt and state = 'running' and phase <> 'publishing'
    returning cancel_requested
$$;

-- The one end of the work of an attempt: 'ended', 'publishing', 'dismissed' (asked to stop meanwhile), 'replay' (this
-- attempt had ended it already: the answer of a commit got lost) or 'refused'.
create function job_end(p_job uuid, p_attempt integer, p_state job_state, p_usage jsonb, p_results jsonb,
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
        v_price := least(rights.price(j.process, p_usage), j.reserved);
        perform rights.credit_settle(p_job, v_price);
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

-- An attempt was lost by no fault of the caller: 'requeued', or the end when too many were lost.
create function job_requeue(p_job uuid, p_attempt integer, p_outcome text, p_message text, p_error jsonb)
returns text language plpgsql as $$
declare
    j job;
begin
    select * into j from job where id = p_job for update;
    if not found or j.attempt <> p_attempt or j.state <> 'running' or j.phase = 'publishing' then
        return 'refused';
    end if;
    if j.cancel_requested or (j.attempt >= j.max_attempts and p_outcome <> 'stopped') then
        return case job_end(p_job, p_attempt, 'failed', null, null, p_error, p_message)
               when 'ended' then 'failed' else 'dismissed' end;
    end if;
    update job_attempt set ended = now(), outcome = p_outcome where job = p_job and attempt = p_attempt;
    -- An orderly stop of the dispatcher does not count as a loss.
    update job set state = 'accepted', phase = 'queued', lease_until = null, runner = null, message = p_message,
           max_attempts = max_attempts + (p_outcome = 'stopped')::int
     where id = p_job;
    return 'requeued';
end
$$;

-- 'dismissed' at once, 'stopping' while it runs, 'publishing' (too late), 'ended' or 'unknown'.
create function job_dismiss(p_job uuid) returns text language plpgsql as $$
declare
    j job;
begin
    select * into j from job where id = p_job for update;
    if not found then
        return 'unknown';
    elsif j.phase in ('ended', 'publishing') then
        return j.phase;
    elsif j.state = 'running' then
        update job set cancel_requested = true, phase = 'stopping', message = 'Stopping.' where id = p_job;
        return 'stopping';
    end if;
    perform rights.credit_release(p_job);
    update job
       set state = 'dismissed', phase = 'ended', cancel_requested = true, price = 0,
           message = 'Dismissed before it started.', finished = now()
     where id = p_job;
    return 'dismissed';
end
$$;

-- publishing -> successful, once the item can be read.
create function job_publish(p_job uuid, p_attempt integer) returns boolean language plpgsql as $$
begin
    update job
       set state = 'successful', phase = 'ended', progress = 100, message = 'Done.', finished = now()
     where id = p_job and ended_attempt = p_attempt and state = 'running' and phase = 'publishing';
    if not found then
        return false;
    end if;
    update outbox set done = now(), last_error = null where job = p_job;
    return true;
end
$$;
"""


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute("set local search_path to processing, public")
    # The bodies name functions of `rights`, which are looked up when they run.
    connection.execute(_FUNCTIONS)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
