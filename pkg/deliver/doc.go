// Package deliver is the talk between the queue manager and the delivery
// agents, and what the agents have in common: opening the queue file,
// reporting on each recipient in the log and to the bounce daemon, and marking
// recipients as done.
//
// The agent is the server. The queue manager connects to the agent's socket,
// sends a [Request], and gets one [Reply]; the connection is then kept for
// further requests, one after the other. No one sends a greeting.
//
// An agent looks like this:
//
//	agent, err := deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service})
//	...
//	Session: func(ctx context.Context, conn net.Conn) error {
//		return agent.Serve(ctx, conn, func(ctx context.Context, d *deliver.Delivery) error {
//			for i := range d.Recipients {
//				rcpt := &d.Recipients[i]
//				... deliver, then one of
//				err := d.Sent(ctx, rcpt, result)
//				err := d.Bounced(ctx, rcpt, result)
//				err := d.Deferred(ctx, rcpt, result)
//			}
//			return nil
//		})
//	}
//
// The order within a report keeps mail from getting lost: the bounce log is
// durable before the recipient is marked as done, and a recipient whose
// report failed stays in the queue file for another try. A crash in between
// repeats work, it never drops it.
package deliver
