package mitosis

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

func TestErrorsCarryWhatTheCoordinatorSays(t *testing.T) {
	once := RetryPolicy{MaxAttempts: 1}
	tests := []struct {
		name    string
		sent    error
		want    Error
		matches []error
	}{
		{
			name: "refused fields",
			sent: failure(codes.InvalidArgument, ErrInvalidField, nil, &errdetails.BadRequest{
				FieldViolations: []*errdetails.BadRequest_FieldViolation{
					{Field: "name", Description: "given \"\"; accepts 1 to 255 characters"},
					{Field: "priority", Description: "given 9999999; accepts up to 1000000"},
				},
			}),
			want: Error{Reason: ErrInvalidField, Code: codes.InvalidArgument, Fields: []FieldViolation{
				{"name", "given \"\"; accepts 1 to 255 characters"},
				{"priority", "given 9999999; accepts up to 1000000"},
			}},
			matches: []error{ErrInvalidField},
		},
		{
			name: "wrong state",
			sent: failure(codes.FailedPrecondition, ErrWrongState, map[string]string{
				"state": "Complete", "event": "cancel", "allowed": "submit,retry",
			}),
			want: Error{
				Reason: ErrWrongState, Code: codes.FailedPrecondition,
				State: "Complete", Event: "cancel", Allowed: []string{"submit", "retry"},
			},
			matches: []error{ErrWrongState},
		},
		{
			name: "final state",
			sent: failure(codes.FailedPrecondition, ErrWrongState, map[string]string{
				"state": "Cancelled", "event": "cancel", "allowed": "",
			}),
			want: Error{
				Reason: ErrWrongState, Code: codes.FailedPrecondition, State: "Cancelled", Event: "cancel",
			},
			matches: []error{ErrWrongState},
		},
		{
			name: "database away",
			sent: failure(codes.Unavailable, ErrStorageUnavailable, nil,
				&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}),
			want:    Error{Reason: ErrStorageUnavailable, Code: codes.Unavailable, RetryAfter: 1500 * time.Millisecond},
			matches: []error{ErrStorageUnavailable, ErrUnavailable},
		},
		{
			name:    "token",
			sent:    failure(codes.Unauthenticated, ErrInvalidToken, nil),
			want:    Error{Reason: ErrInvalidToken, Code: codes.Unauthenticated},
			matches: []error{ErrInvalidToken, ErrUnauthenticated},
		},
		{
			name:    "a reason of tomorrow",
			sent:    failure(codes.Aborted, "WEATHER", nil),
			want:    Error{Reason: "WEATHER", Code: codes.Aborted},
			matches: []error{Reason("WEATHER")},
		},
		{
			name:    "a proxy",
			sent:    status.Error(codes.Unavailable, "the message"),
			want:    Error{Reason: ErrUnavailable, Code: codes.Unavailable},
			matches: []error{ErrUnavailable},
		},
		{
			name:    "something else",
			sent:    status.Error(codes.DataLoss, "the message"),
			want:    Error{Reason: ErrUnknown, Code: codes.DataLoss},
			matches: []error{ErrUnknown},
		},
	}
	all := []error{
		ErrInvalidField, ErrNotFound, ErrWrongState, ErrStorageUnavailable, ErrShuttingDown, ErrInvalidToken,
		ErrUnavailable, ErrUnauthenticated, ErrUnknown, Reason("WEATHER"),
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			coordinator, client := pair(t, WithRetryPolicy(once))
			on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName,
				func(context.Context, *mitosisv1.GetSuiteRequest) (*mitosisv1.GetSuiteResponse, error) {
					return nil, test.sent
				})
			_, err := client.GetSuite(t.Context(), "7")

			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("got %T %v", err, err)
			}
			if code := status.Code(err); code != test.want.Code {
				t.Errorf("status.Code is %v, want %v", code, test.want.Code)
			}
			test.want.Message, test.want.Method = "the message", "GetSuite"
			test.want.status = got.status
			if !reflect.DeepEqual(*got, test.want) {
				t.Errorf("got %+v\nwant %+v", *got, test.want)
			}
			for _, reason := range all {
				if is, want := errors.Is(err, reason), slices.Contains(test.matches, reason); is != want {
					t.Errorf("errors.Is(err, %v) is %v", reason, is)
				}
			}
			if text := "mitosis: GetSuite: the message (" + string(got.Reason) + ")"; err.Error() != text {
				t.Errorf("got %q, want %q", err, text)
			}
		})
	}
}

func TestEveryReasonOfTheContractHasAName(t *testing.T) {
	ours := []Reason{
		ErrInvalidField, ErrNotFound, ErrAlreadyExists, ErrWrongState, ErrPermissionDenied, ErrInvalidToken,
		ErrWrongTokenKind, ErrInvalidCredentials, ErrLimitExceeded, ErrStorageUnavailable, ErrShuttingDown,
		ErrSessionReplaced, ErrInternal, ErrRequestIDReused, ErrDisabled,
	}
	for number, name := range mitosisv1.ErrorReason_name {
		if number != 0 && !slices.Contains(ours, Reason(strings.TrimPrefix(name, "ERROR_REASON_"))) {
			t.Errorf("errors.go has no constant for %s", name)
		}
	}
}

func TestErrorsMatchTheContextsErrors(t *testing.T) {
	coordinator, client := pair(t)
	arrived := make(chan struct{}, 1)
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName,
		func(ctx context.Context, _ *mitosisv1.GetSuiteRequest) (*mitosisv1.GetSuiteResponse, error) {
			select {
			case arrived <- struct{}{}:
			default:
			}
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		})

	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		_, err := client.GetSuite(ctx, "7")
		if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrCanceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := client.GetSuite(ctx, "7")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("timeout of one attempt", func(t *testing.T) {
		client := coordinator.client(t, loopback, WithTimeout(20*time.Millisecond), WithRetryPolicy(RetryPolicy{MaxAttempts: 1}))
		_, err := client.GetSuite(t.Context(), "7")
		if !errors.Is(err, ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
