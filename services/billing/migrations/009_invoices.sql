-- Invoices are long texts that are written whole each time; of the two ways to pack them, the quick one where the server has it.
do $$ begin
    execute 'alter table invoices alter body set compression lz4, alter digest set compression lz4';
exception when feature_not_supported or syntax_error then
    null; -- an older server, or one built without
end $$;
