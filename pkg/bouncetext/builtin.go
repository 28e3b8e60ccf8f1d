package bouncetext

// Who signs.
const (
	mailerDaemon = "MAILER-DAEMON (Mail Delivery System)"
	closing      = "                        The mail system"
)

// Builtin returns the texts where the site has none of its own, with their
// $name.
func Builtin() Set {
	set := Set{
		Failure: Template{
			Subject: "Undelivered Mail Returned to Sender", CopySubject: "Postmaster Copy: Undelivered Mail",
			Builtin: []string{
				"Your message could not be delivered to the recipients listed below.",
				"The mail system at $myhostname has given up on them; it is returned to you.",
				"",
				"If you need help, forward this whole report to your postmaster.",
			},
			Content: "Undelivered Message",
		},
		Delay: Template{
			Subject: "Delayed Mail (still being retried)", CopySubject: "Postmaster Warning: Delayed Mail",
			Builtin: []string{
				"THIS IS A WARNING ONLY. YOU NEED NOT SEND THE MESSAGE AGAIN.",
				"",
				"Your message has not yet reached the recipients listed below.",
				"The mail system at $myhostname will keep trying until it is $maximal_queue_lifetime_words old.",
			},
			Content: "Undelivered Message", Retry: true,
		},
		Success: Template{
			Subject: "Successful Mail Delivery Report",
			Builtin: []string{
				"As you asked, the mail system at $myhostname reports that your message",
				"has reached the recipients listed below. If it was passed on to a",
				"system that gives no such reports, there may be no further news.",
			},
			Content: "Message",
		},
		Verify: Template{
			Subject: "Mail Delivery Status Report",
			Builtin: []string{
				"Here is the delivery report that you asked the mail system at",
				"$myhostname for.",
			},
			Content: "Message",
		},
	}
	for _, t := range set.All() {
		t.From = mailerDaemon
		t.Builtin = append(t.Builtin, "", closing)
	}
	return set
}
