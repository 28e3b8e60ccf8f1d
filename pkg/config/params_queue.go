package config

// rowsQueue returns the parameters of the area "queue".
func rowsQueue() []row {
	return []row{
		{"bounce_queue_lifetime", Time, "5d", "0,8640000", "qmgr", '1',
			"After what time a bounce that cannot be delivered is dropped; 0 means after one try. The default " +
				"unit is days."},
		{"default_delivery_slot_cost", Int, "5", "0", "qmgr", '1',
			"After how many deliveries of a message another one with fewer recipients may overtake it; 0 means " +
				"never. Each transport may have its own."},
		{"default_delivery_slot_discount", Int, "50", "0,100", "qmgr", '2',
			"The share, in percent, of needed delivery slots that a message that overtakes need not wait for."},
		{"default_delivery_slot_loan", Int, "3", "0", "qmgr", '2',
			"How many delivery slots a message that overtakes may take in advance."},
		{"default_destination_concurrency_failed_cohort_limit", Int, "1", "0", "qmgr", '2',
			"After how many failed connections in a row, each counting for all parallel deliveries, a destination " +
				"is taken to be dead; 0 means never."},
		{"default_destination_concurrency_limit", Int, "20", "0", "qmgr", '1',
			"How many deliveries may go to the same destination at the same time. Each transport may have its " +
				"own, as name_destination_concurrency_limit."},
		{"default_destination_concurrency_negative_feedback", String, "1", "1", "qmgr", '2',
			"By how much the number of parallel deliveries falls after a failure: a number, or a fraction such as " +
				"1/concurrency."},
		{"default_destination_concurrency_positive_feedback", String, "1", "1", "qmgr", '2',
			"By how much the number of parallel deliveries grows after a success: a number, or a fraction such as " +
				"1/concurrency."},
		{"default_destination_rate_delay", Time, "0s", "0", "qmgr", '2',
			"How long to wait between two deliveries to the same destination; more than 0 means one at a time."},
		{"default_destination_recipient_limit", Int, "50", "0", "qmgr", '1',
			"How many recipients one delivery may have. With 1, destinations are recipients rather than domains, " +
				"for the limits on parallel deliveries."},
		{"default_extra_recipient_limit", Int, "1000", "0", "qmgr", '2',
			"How many recipients in memory a transport may have above default_recipient_limit for messages that " +
				"overtake."},
		{"default_minimum_delivery_slots", Int, "3", "0", "qmgr", '2',
			"How many deliveries a message must have to be worth being overtaken."},
		{"default_recipient_limit", Int, "20000", "0", "qmgr", '2',
			"How many recipients in memory a transport may have."},
		{"default_recipient_refill_delay", Time, "5s", "1", "qmgr", '2',
			"After what time qmgr reads further recipients of a large message, even if fewer than " +
				"default_recipient_refill_limit are missing."},
		{"default_recipient_refill_limit", Int, "100", "1", "qmgr", '2',
			"How many recipients of a large message qmgr reads at a time."},
		{"extract_recipient_limit", Legacy, "", "", "obsolete", 'X',
			"No effect: recipients in headers are limited by header_address_token_limit."},
		{"initial_destination_concurrency", Int, "5", "1", "qmgr", '1',
			"How many deliveries may go to a destination at the same time at first."},
		{"local_destination_concurrency_limit", Int, "2", "0", "local", '1',
			"How many deliveries to the same local recipient may run at the same time."},
		{"local_destination_recipient_limit", Int, "1", "0", "local", '1',
			"How many recipients one local delivery may have. Leave it at 1."},
		{"maximal_backoff_time", Time, "4000s", "1", "qmgr", '1',
			"The longest time between two tries to deliver a message."},
		{"maximal_queue_lifetime", Time, "5d", "0,8640000", "bounce qmgr", '1',
			"After what time mail that cannot be delivered is returned; 0 means after one try. The default unit " +
				"is days."},
		{"minimal_backoff_time", Time, "300s", "1", "qmgr smtp", '1',
			"The shortest time between two tries to deliver a message, and how long a dead destination is left " +
				"alone."},
		{"qmgr_clog_warn_time", Time, "300s", "0", "qmgr", '2',
			"How often qmgr warns when one destination fills the active queue; 0 means never."},
		{"qmgr_daemon_timeout", Time, "1000s", "1", "qmgr", '2',
			"How long qmgr may be busy with one request before it is taken to hang."},
		{"qmgr_fudge_factor", Int, "100", "10,100", "oqmgr", '3',
			"Accepted; rarely set, and only obeyed where postconf(5) says so."},
		{"qmgr_ipc_timeout", Time, "60s", "1", "qmgr", '2',
			"How long qmgr waits for another process of the mail system."},
		{"qmgr_message_active_limit", Int, "20000", "1", "qmgr", '1',
			"How many messages may be in the active queue."},
		{"qmgr_message_recipient_limit", Int, "20000", "1", "qmgr", '1',
			"How many recipients qmgr keeps in memory, and how many destinations it remembers as dead."},
		{"qmgr_message_recipient_minimum", Int, "10", "1", "qmgr", '1',
			"How many recipients of each message qmgr has in memory at least."},
		{"queue_run_delay", Time, "300s", "1", "qmgr sendmail smtp", '1',
			"How often the deferred queue is searched for mail whose time has come. It should not exceed " +
				"minimal_backoff_time. Mail that its sender wants to leave later (FUTURERELEASE) is tried at its time."},
		{"transport_delivery_slot_cost", String, "$default_delivery_slot_cost", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and _delivery_slot_cost."},
		{"transport_delivery_slot_discount", String, "$default_delivery_slot_discount", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_delivery_slot_discount."},
		{"transport_delivery_slot_loan", String, "$default_delivery_slot_loan", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and _delivery_slot_loan."},
		{"transport_destination_concurrency_failed_cohort_limit", String, "$default_destination_concurrency_failed_cohort_limit", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_destination_concurrency_failed_cohort_limit."},
		{"transport_destination_concurrency_limit", String, "$default_destination_concurrency_limit", "", "pipe qmgr smtp", '1',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_destination_concurrency_limit. How many deliveries go to one destination at the same time."},
		{"transport_destination_concurrency_negative_feedback", String, "$default_destination_concurrency_negative_feedback", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_destination_concurrency_negative_feedback."},
		{"transport_destination_concurrency_positive_feedback", String, "$default_destination_concurrency_positive_feedback", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_destination_concurrency_positive_feedback."},
		{"transport_destination_rate_delay", String, "$default_destination_rate_delay", "", "qmgr", '2',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_destination_rate_delay. How long to wait between deliveries to one destination."},
		{"transport_destination_recipient_limit", String, "$default_destination_recipient_limit", "", "pipe qmgr smtp", '1',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_destination_recipient_limit. How many recipients one delivery has."},
		{"transport_extra_recipient_limit", String, "$default_extra_recipient_limit", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_extra_recipient_limit."},
		{"transport_initial_destination_concurrency", String, "$initial_destination_concurrency", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_initial_destination_concurrency."},
		{"transport_minimum_delivery_slots", String, "$default_minimum_delivery_slots", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_minimum_delivery_slots."},
		{"transport_recipient_limit", String, "$default_recipient_limit", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and _recipient_limit."},
		{"transport_recipient_refill_delay", String, "$default_recipient_refill_delay", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_recipient_refill_delay."},
		{"transport_recipient_refill_limit", String, "$default_recipient_refill_limit", "", "qmgr", '3',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_recipient_refill_limit."},
		{"transport_transport_rate_delay", String, "$default_transport_rate_delay", "", "qmgr", '2',
			"The documentation's name for a parameter that each transport has: its name and " +
				"_transport_rate_delay. How long to wait between any two deliveries."},
		{"virtual_destination_concurrency_limit", Int, "$default_destination_concurrency_limit", "0", "virtual", '2',
			"How many deliveries by virtual may go to the same destination at the same time."},
		{"virtual_destination_recipient_limit", Int, "$default_destination_recipient_limit", "0", "virtual", '2',
			"How many recipients one delivery by virtual may have."},
	}
}
