-- Jobs reserve and settle by these functions and touch nothing else of this schema.
revoke execute on all functions in schema rights from public;
alter default privileges in schema rights revoke execute on functions from public;
grant usage on schema rights to bocage_processing;
grant execute on function
    price(text, jsonb),
    credit_reserve(uuid, uuid, numeric, text),
    credit_settle(uuid, numeric),
    credit_release(uuid),
    balance(uuid)
to bocage_processing;
