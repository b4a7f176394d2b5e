-- As a scheduler does that connects for each job.
select public.nothing();
