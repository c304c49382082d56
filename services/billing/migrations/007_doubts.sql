-- A licence that may be one that Halo has already counts where lines are given to licences: it was kept apart from them before.
update licences set present = true, client_id = (body->'Waits'->>'ClientID')::bigint,
    body = body || jsonb_build_object('ClientID', body->'Waits'->'ClientID', 'Count', body->'Waits'->'Count', 'Active', true)
where body ? 'Waits' and not present;

insert into dirty (instance, client_id, queued_at)
select distinct instance, client_id, now() from licences where body ? 'Waits' and instance <> '' and client_id <> 0;
