// Package mitosis is a client of Mitosis, a task orchestrator: suites of tasks that share an environment, run by node
// managers, recorded exactly once.
//
//	client, err := mitosis.NewClient("127.0.0.1:7070", mitosis.WithToken(token))
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//
//	suite, err := client.CreateSuite(ctx, mitosis.SuiteSpec{Name: "squares", GroupName: "default"})
//	...
//	n, err := client.SubmitTasks(ctx, mitosis.ToSuite(suite.UUID), tasks)
//	...
//	_, err = client.CloseSuite(ctx, suite.UUID)
//	...
//	suite, err = client.WaitForSuite(ctx, suite.UUID)
//
// A [Client] is safe for use by many goroutines; one for a whole program is enough.
//
// # Connections
//
// Addresses of this machine (loopback) are spoken to in plain text; every other address by TLS with the system's root
// certificates. [WithTLS] and [WithClientCertificate] say how else, [WithInsecure] allows plain text, token included,
// towards other machines. [FindConnection] reads what `mitosis up` and `mitosis login` have written.
//
// # Errors
//
// Every method that makes a call returns a [*Error], which holds the coordinator's [Reason] and its details. A Reason is
// also what [errors.Is] compares with:
//
//	if errors.Is(err, mitosis.ErrNotFound) { ... }
//
//	if e, ok := errors.AsType[*mitosis.Error](err); ok {
//		for _, violation := range e.Fields { ... }
//	}
//
// When the context ended, errors.Is(err, context.Canceled) or errors.Is(err, context.DeadlineExceeded) holds as well.
//
// # Retries
//
// A call is repeated only while the coordinator is unavailable, and only when repeating it does no harm: reads, writes
// that carry a request id (the client makes one up where none is given), and writes that the contract calls idempotent.
// [RetryPolicy] says how often and for how long.
//
// # Optional fields
//
// A zero value means "not given". Where zero means something else than the default, the field is a pointer; Go's
// new(expr) makes one: SuiteSpec{AutoCloseTimeout: new(time.Duration(0))}.
package mitosis
