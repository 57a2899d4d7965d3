package mitosis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errorDomain is the domain of the coordinator's google.rpc.ErrorInfo.
const errorDomain = "mitosis"

// Reason says why a call failed. Reasons are errors themselves, to be compared with by [errors.Is]; what methods return
// is always a [*Error] that holds one. A newer coordinator may send reasons that are not listed here.
type Reason string

// Reasons that the coordinator sends.
const (
	// ErrInvalidField says that fields were refused and nothing was changed; [Error.Fields] names them.
	ErrInvalidField Reason = "INVALID_FIELD"
	// ErrNotFound says that there is no such thing, or that the caller may not know of it.
	ErrNotFound Reason = "NOT_FOUND"
	// ErrAlreadyExists says that the name is taken.
	ErrAlreadyExists Reason = "ALREADY_EXISTS"
	// ErrWrongState says that the current [Error.State] does not allow [Error.Event]; [Error.Allowed] names what it does.
	ErrWrongState Reason = "WRONG_STATE"
	// ErrPermissionDenied says that the caller is known and may not do this.
	ErrPermissionDenied Reason = "PERMISSION_DENIED"
	// ErrInvalidToken says that there was no token, or one that is malformed, expired or revoked.
	ErrInvalidToken Reason = "INVALID_TOKEN"
	// ErrWrongTokenKind says that the token is good but of another kind, for example a manager's instead of a user's.
	ErrWrongTokenKind Reason = "WRONG_TOKEN_KIND"
	// ErrInvalidCredentials says that user name and password do not match, or that the user is disabled.
	ErrInvalidCredentials Reason = "INVALID_CREDENTIALS"
	// ErrLimitExceeded says that a size, a count or a rate is over its limit.
	ErrLimitExceeded Reason = "LIMIT_EXCEEDED"
	// ErrStorageUnavailable says that the coordinator's database is away.
	ErrStorageUnavailable Reason = "STORAGE_UNAVAILABLE"
	// ErrShuttingDown says that the coordinator is going down.
	ErrShuttingDown Reason = "SHUTTING_DOWN"
	// ErrSessionReplaced says that a newer session of the same manager took over.
	ErrSessionReplaced Reason = "SESSION_REPLACED"
	// ErrInternal says that the coordinator met an unforeseen error; the message holds the incident id of its log.
	ErrInternal Reason = "INTERNAL"
	// ErrRequestIDReused says that the request id was used before with another request.
	ErrRequestIDReused Reason = "REQUEST_ID_REUSED"
	// ErrDisabled says that the feature is switched off by the coordinator's configuration.
	ErrDisabled Reason = "DISABLED"
)

// Reasons of the connection and of the client, and those that stand for several of the coordinator's.
const (
	// ErrUnavailable says that the coordinator cannot be reached or cannot answer now. It matches
	// [ErrStorageUnavailable] and [ErrShuttingDown] too.
	ErrUnavailable Reason = "UNAVAILABLE"
	// ErrUnauthenticated says that the coordinator does not accept who the caller says to be. It matches
	// [ErrInvalidToken], [ErrWrongTokenKind] and [ErrInvalidCredentials] too.
	ErrUnauthenticated Reason = "UNAUTHENTICATED"
	// ErrDeadlineExceeded says that the answer did not come in time; whether the call took effect is not known.
	ErrDeadlineExceeded Reason = "DEADLINE_EXCEEDED"
	// ErrCanceled says that the call was given up; whether it took effect is not known.
	ErrCanceled Reason = "CANCELED"
	// ErrUnknown says that something answered that does not speak like a coordinator.
	ErrUnknown Reason = "UNKNOWN"
)

// Error returns the reason's name.
func (r Reason) Error() string { return "mitosis: " + string(r) }

// reasons holds the reason for a failure that no coordinator has explained, for example one of the transport.
var reasons = map[codes.Code]Reason{
	codes.InvalidArgument:    ErrInvalidField,
	codes.NotFound:           ErrNotFound,
	codes.AlreadyExists:      ErrAlreadyExists,
	codes.FailedPrecondition: ErrWrongState,
	codes.PermissionDenied:   ErrPermissionDenied,
	codes.Unauthenticated:    ErrUnauthenticated,
	codes.ResourceExhausted:  ErrLimitExceeded,
	codes.Unavailable:        ErrUnavailable,
	codes.DeadlineExceeded:   ErrDeadlineExceeded,
	codes.Canceled:           ErrCanceled,
	codes.Unimplemented:      ErrDisabled,
	codes.Internal:           ErrInternal,
}

// FieldViolation is one field that was refused.
type FieldViolation struct {
	// Field is its path in the request, for example "task_spec.timeout_seconds" or "tasks[17].priority".
	Field string
	// Description says what was given and what is accepted.
	Description string
}

// String returns the path and the description.
func (v FieldViolation) String() string { return v.Field + ": " + v.Description }

// Error is a failed call.
type Error struct {
	// Reason says why; see also [errors.Is].
	Reason Reason
	// Code is the gRPC code of the failure.
	Code codes.Code
	// Message is one sentence for people.
	Message string
	// Method is the RPC that failed, for example "GetSuite". It is empty when the client refused before calling.
	Method string
	// Fields are the refused fields of [ErrInvalidField].
	Fields []FieldViolation
	// State is the current state, for [ErrWrongState].
	State string
	// Event is what that state does not allow, for [ErrWrongState].
	Event string
	// Allowed are the events that it does allow, for [ErrWrongState].
	Allowed []string
	// RetryAfter is how long the coordinator asks to wait before the call is made again; zero when it does not say.
	RetryAfter time.Duration

	status *status.Status
	cause  error
}

// Error returns the method, the message and the reason.
func (e *Error) Error() string {
	text := "mitosis: "
	if e.Method != "" {
		text += e.Method + ": "
	}
	return text + e.Message + " (" + string(e.Reason) + ")"
}

// Is reports whether the target is the error's [Reason], or one that includes it.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUnavailable:
		return e.Code == codes.Unavailable
	case ErrUnauthenticated:
		return e.Code == codes.Unauthenticated
	}
	return target == error(e.Reason)
}

// Unwrap returns the context's error when the context ended the call, else nil or what the client stumbled over.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns what came over the wire, with all its details; status.FromError and status.Code use it.
func (e *Error) GRPCStatus() *status.Status {
	if e.status != nil {
		return e.status
	}
	return status.New(e.Code, e.Message)
}

// asError returns the typed error for what a call returned; an error that is one already stays as it is.
func asError(ctx context.Context, fullMethod string, err error) *Error {
	if typed, ok := errors.AsType[*Error](err); ok {
		return typed
	}
	wire, ok := status.FromError(err)
	if !ok {
		wire = status.FromContextError(err)
	}
	typed := &Error{
		Code:    wire.Code(),
		Message: wire.Message(),
		Method:  fullMethod[strings.LastIndexByte(fullMethod, '/')+1:],
		status:  wire,
	}
	if typed.Message == "" {
		typed.Message = wire.Code().String()
	}
	switch {
	case typed.Code == codes.DeadlineExceeded:
		// The other side may notice a moment before our own context does.
		typed.cause = context.DeadlineExceeded
	case typed.Code == codes.Canceled && ctx.Err() != nil:
		typed.cause = ctx.Err()
	}
	for _, detail := range wire.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				typed.Reason = Reason(detail.GetReason())
				facts := detail.GetMetadata()
				typed.State, typed.Event = facts["state"], facts["event"]
				if allowed := facts["allowed"]; allowed != "" {
					typed.Allowed = strings.Split(allowed, ",")
				}
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				typed.Fields = append(typed.Fields, FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			typed.RetryAfter = max(0, detail.GetRetryDelay().AsDuration())
		}
	}
	if typed.Reason == "" {
		typed.Reason = ErrUnknown
		if reason, ok := reasons[typed.Code]; ok {
			typed.Reason = reason
		}
	}
	return typed
}

// refused returns the error for fields that the client refuses without asking the coordinator.
func refused(violations []FieldViolation, cause error) *Error {
	texts := make([]string, len(violations))
	for i, violation := range violations {
		texts[i] = violation.String()
	}
	return &Error{
		Reason:  ErrInvalidField,
		Code:    codes.InvalidArgument,
		Message: strings.Join(texts, "; "),
		Fields:  violations,
		cause:   cause,
	}
}

// refuse returns the error for one field that the client refuses.
func refuse(field, format string, arguments ...any) *Error {
	return refused([]FieldViolation{{field, fmt.Sprintf(format, arguments...)}}, nil)
}
