package mitosis

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// RetryPolicy says how calls that are safe to repeat are repeated while the coordinator is unavailable or does not answer
// in time.
//
// Before each repetition the client waits a random time between zero and a ceiling that starts at InitialBackoff and
// doubles up to MaxBackoff; a wait that the coordinator asks for comes on top. Fields that are zero have the value of
// [DefaultRetryPolicy].
type RetryPolicy struct {
	// MaxAttempts is how often a call is made in all; 1 turns repeating off.
	MaxAttempts int
	// InitialBackoff is the longest first wait.
	InitialBackoff time.Duration
	// MaxBackoff is the longest wait, what the coordinator asks for not counted.
	MaxBackoff time.Duration
	// MaxElapsed bounds all attempts together, but for the first one, which has the whole time of an attempt.
	MaxElapsed time.Duration
}

// DefaultRetryPolicy returns the policy of a client without [WithRetryPolicy]: six attempts within a minute and a half,
// with waits from a tenth of a second to five seconds.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{
		MaxAttempts:    6,
		InitialBackoff: 100 * time.Millisecond,
		MaxBackoff:     5 * time.Second,
		MaxElapsed:     90 * time.Second,
	}
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	defaults := DefaultRetryPolicy()
	if p.MaxAttempts <= 0 {
		p.MaxAttempts = defaults.MaxAttempts
	}
	if p.InitialBackoff <= 0 {
		p.InitialBackoff = defaults.InitialBackoff
	}
	if p.MaxBackoff <= 0 {
		p.MaxBackoff = defaults.MaxBackoff
	}
	if p.MaxElapsed <= 0 {
		p.MaxElapsed = defaults.MaxElapsed
	}
	return p
}

func (p RetryPolicy) delays() *delays { return &delays{policy: p} }

// delays are the waits of one call or of one watch.
type delays struct {
	policy  RetryPolicy
	ceiling time.Duration
}

// next returns the wait before the next attempt: even over the whole range, so that clients that lost the same
// coordinator do not come back in waves.
func (d *delays) next() time.Duration {
	if d.ceiling == 0 {
		d.ceiling = min(d.policy.InitialBackoff, d.policy.MaxBackoff)
	}
	wait := rand.N(d.ceiling + 1)
	d.ceiling = min(2*d.ceiling, d.policy.MaxBackoff)
	return wait
}

// reset makes the next wait a first one again.
func (d *delays) reset() { d.ceiling = 0 }

// sleep waits, or returns the context's error as soon as it has ended.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idempotent says of every RPC without a request id whether the contract allows to make it again after an answer was
// lost.
var idempotent = map[string]bool{
	mitosisv1.SuiteService_GetSuite_FullMethodName:             true,
	mitosisv1.SuiteService_ExplainSuite_FullMethodName:         true,
	mitosisv1.SuiteService_ListSuites_FullMethodName:           true,
	mitosisv1.SuiteService_UpdateSuite_FullMethodName:          true,
	mitosisv1.SuiteService_CancelSuite_FullMethodName:          false,
	mitosisv1.SuiteService_CloseSuite_FullMethodName:           true,
	mitosisv1.SuiteService_RetrySuite_FullMethodName:           true,
	mitosisv1.SuiteService_RefreshSuiteManagers_FullMethodName: true,
	mitosisv1.SuiteService_AddSuiteManagers_FullMethodName:     true,
	mitosisv1.SuiteService_RemoveSuiteManagers_FullMethodName:  true,

	mitosisv1.TaskService_GetTask_FullMethodName:     true,
	mitosisv1.TaskService_ExplainTask_FullMethodName: true,
	mitosisv1.TaskService_ListTasks_FullMethodName:   true,
	mitosisv1.TaskService_CancelTask_FullMethodName:  false,

	mitosisv1.ManagerService_Heartbeat_FullMethodName: true,
	// Not idempotent by the contract, and harmless to repeat: the token that was lost ends with the one before it.
	mitosisv1.ManagerService_RefreshToken_FullMethodName:    true,
	mitosisv1.ManagerService_ListManagers_FullMethodName:    true,
	mitosisv1.ManagerService_GetManager_FullMethodName:      true,
	mitosisv1.ManagerService_ShutdownManager_FullMethodName: true,
	mitosisv1.ManagerService_DrainManager_FullMethodName:    true,
	mitosisv1.ManagerService_ResumeManager_FullMethodName:   true,
	// As with RefreshToken.
	mitosisv1.ManagerService_RevokeManagerToken_FullMethodName: true,

	// As with RefreshToken.
	mitosisv1.WorkerService_RefreshWorkerToken_FullMethodName: true,
	mitosisv1.WorkerService_ListWorkers_FullMethodName:        true,
	mitosisv1.WorkerService_GetWorker_FullMethodName:          true,
	mitosisv1.WorkerService_ShutdownWorker_FullMethodName:     true,
	mitosisv1.WorkerService_RevokeWorkerToken_FullMethodName:  true,

	// A second attempt changes nothing but counts against the limit of attempts.
	mitosisv1.AuthService_Login_FullMethodName:          false,
	mitosisv1.AuthService_GetCurrentUser_FullMethodName: true,
	mitosisv1.AuthService_ChangePassword_FullMethodName: false,
	mitosisv1.AuthService_RevokeTokens_FullMethodName:   false,

	mitosisv1.AdminService_CreateUser_FullMethodName:       false,
	mitosisv1.AdminService_ListUsers_FullMethodName:        true,
	mitosisv1.AdminService_UpdateUser_FullMethodName:       true,
	mitosisv1.AdminService_RevokeUserTokens_FullMethodName: true,
	mitosisv1.AdminService_CreateGroup_FullMethodName:      false,
	mitosisv1.AdminService_GetGroup_FullMethodName:         true,
	mitosisv1.AdminService_ListGroups_FullMethodName:       true,
	mitosisv1.AdminService_SetMember_FullMethodName:        true,
	mitosisv1.AdminService_RemoveMember_FullMethodName:     true,
}

// repeatable reports whether making the same call twice does no more than making it once.
func repeatable(method string, request any) bool {
	if identified, ok := request.(interface{ GetRequestId() string }); ok {
		return identified.GetRequestId() != ""
	}
	return idempotent[method]
}

// caller holds what every call of a connection needs.
type caller struct {
	retry   RetryPolicy
	timeout time.Duration
}

// unary is the interceptor of all unary calls: it bounds them in time, repeats them and types their errors.
func (c caller) unary(
	ctx context.Context,
	method string,
	request, answer any,
	conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	attempts := 1
	if repeatable(method, request) {
		attempts = c.retry.MaxAttempts
	}
	over := time.Now().Add(c.retry.MaxElapsed)
	delays := c.retry.delays()
	timeout := c.timeout
	for attempt := 1; ; attempt++ {
		failure := attemptWithin(ctx, timeout, method, request, answer, conn, invoke, options...)
		if failure == nil {
			return nil
		}
		if !passes(ctx, failure) || attempt >= attempts {
			return failure
		}
		wait := failure.RetryAfter + delays.next()
		left := time.Until(over) - wait
		if left <= 0 {
			return failure
		}
		if timeout <= 0 || timeout > left {
			timeout = left
		}
		if err := sleep(ctx, wait); err != nil {
			failure.cause = err
			return failure
		}
	}
}

// passes reports whether a failure may be over at the next attempt. A context that has ended leaves no time for one.
func passes(ctx context.Context, failure *Error) bool {
	return failure.Code == codes.Unavailable || failure.Code == codes.DeadlineExceeded && ctx.Err() == nil
}

func attemptWithin(
	ctx context.Context,
	timeout time.Duration,
	method string,
	request, answer any,
	conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) *Error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := invoke(ctx, method, request, answer, conn, options...); err != nil {
		return asError(ctx, method, err)
	}
	return nil
}

// stream is the interceptor of all streams: it types their errors.
func (c caller) stream(
	ctx context.Context,
	description *grpc.StreamDesc,
	conn *grpc.ClientConn,
	method string,
	open grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, description, conn, method, options...)
	if err != nil {
		return nil, asError(ctx, method, err)
	}
	return typedStream{stream, ctx, method}, nil
}
