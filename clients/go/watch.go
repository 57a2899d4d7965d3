package mitosis

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc/codes"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// WatchSuite yields a suite now and after every change, at most ten times a second, and ends after it was yielded
// Complete, Cancelled or Failed with no manager holding it.
//
// A broken connection is made again for as long as the context lives; the suite is then yielded again. An error is the
// last thing that it yields.
//
// Errors: [ErrInvalidField], [ErrNotFound].
func (c *Client) WatchSuite(ctx context.Context, uuid string) iter.Seq2[*Suite, error] {
	return func(yield func(*Suite, error) bool) {
		delays := c.retry.delays()
		for {
			stopped, released := false, false
			err := c.watchOnce(ctx, uuid, func(suite *Suite) bool {
				delays.reset()
				released = suite.Released()
				stopped = !yield(suite, nil)
				return !stopped
			})
			if stopped || err == nil && released {
				return
			}
			// A stream that ended early, cleanly or not, is one to open again: its coordinator is going down.
			wait := delays.next()
			if err != nil {
				if !interrupted(ctx, err) {
					yield(nil, err)
					return
				}
				wait += err.RetryAfter
			}
			if ended := sleep(ctx, wait); ended != nil {
				yield(nil, asError(ctx, mitosisv1.SuiteService_WatchSuite_FullMethodName, ended))
				return
			}
		}
	}
}

// watchOnce hands on what one stream sends, until it ends or the receiver has seen enough.
func (c *Client) watchOnce(ctx context.Context, uuid string, receive func(*Suite) bool) *Error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.suites.WatchSuite(ctx, &mitosisv1.WatchSuiteRequest{Uuid: uuid})
	for err == nil {
		var answer *mitosisv1.WatchSuiteResponse
		if answer, err = stream.Recv(); err == nil && !receive(decodeSuite(answer.GetSuite())) {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return asError(ctx, mitosisv1.SuiteService_WatchSuite_FullMethodName, err)
}

// interrupted reports whether a stream broke in a way that opening it again can mend. Canceled is how a stream ends that
// a coordinator going down has cut.
func interrupted(ctx context.Context, err *Error) bool {
	return ctx.Err() == nil && (err.Code == codes.Unavailable || err.Code == codes.Canceled)
}

// WaitOption changes how [Client.WaitForSuite] waits.
type WaitOption func(*waiting)

type waiting struct {
	progress      func(*Suite)
	untilReleased bool
}

// OnProgress calls a function with the suite after every change, at most ten times a second, on the goroutine that waits.
func OnProgress(progress func(*Suite)) WaitOption {
	return func(w *waiting) { w.progress = progress }
}

// UntilReleased waits until no manager holds the suite any more, that is until its cleanup hooks have ended.
func UntilReleased() WaitOption {
	return func(w *waiting) { w.untilReleased = true }
}

// WaitForSuite waits until a suite is Complete, Cancelled or Failed and returns it with its hook runs. The context bounds
// how long; broken connections are made again until then.
//
// Errors: [ErrInvalidField], [ErrNotFound], and the context's.
func (c *Client) WaitForSuite(ctx context.Context, uuid string, options ...WaitOption) (*Suite, error) {
	var wait waiting
	for _, option := range options {
		option(&wait)
	}
	for suite, err := range c.WatchSuite(ctx, uuid) {
		if err != nil {
			return nil, err
		}
		if wait.progress != nil {
			wait.progress(suite)
		}
		if suite.State.Finished() && (suite.Released() || !wait.untilReleased) {
			break
		}
	}
	return c.GetSuite(ctx, uuid)
}
