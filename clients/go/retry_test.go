package mitosis

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// failing answers the first calls with an error and the later ones with a suite, and counts them all.
func failing(times int, err error) (*int, func(context.Context, *mitosisv1.GetSuiteRequest) (*mitosisv1.GetSuiteResponse, error)) {
	calls := new(int)
	return calls, func(context.Context, *mitosisv1.GetSuiteRequest) (*mitosisv1.GetSuiteResponse, error) {
		if *calls++; *calls <= times {
			return nil, err
		}
		return &mitosisv1.GetSuiteResponse{Suite: &mitosisv1.TaskSuite{Uuid: "7"}}, nil
	}
}

func TestAReadIsRepeatedUntilItSucceeds(t *testing.T) {
	coordinator, client := pair(t)
	calls, answer := failing(4, unavailable(0))
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName, answer)
	suite, err := client.GetSuite(t.Context(), "7")
	if err != nil || suite.UUID != "7" || *calls != 5 {
		t.Fatalf("got %v, %v after %d calls", suite, err, *calls)
	}
}

func TestRepeatingEndsAfterTheAttemptsOfThePolicy(t *testing.T) {
	coordinator, client := pair(t)
	calls, answer := failing(100, unavailable(0))
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName, answer)
	_, err := client.GetSuite(t.Context(), "7")
	if want := DefaultRetryPolicy().MaxAttempts; !errors.Is(err, ErrShuttingDown) || *calls != want {
		t.Fatalf("got %v after %d calls, want %d", err, *calls, want)
	}
}

func TestOnlyUnavailabilityIsAReasonToRepeat(t *testing.T) {
	for _, err := range []error{
		failure(codes.NotFound, ErrNotFound, nil),
		failure(codes.ResourceExhausted, ErrLimitExceeded, nil),
		failure(codes.Internal, ErrInternal, nil),
		failure(codes.Aborted, ErrRequestIDReused, nil),
	} {
		coordinator, client := pair(t)
		calls, answer := failing(100, err)
		on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName, answer)
		if _, got := client.GetSuite(t.Context(), "7"); got == nil || *calls != 1 {
			t.Errorf("%v: got %v after %d calls", err, got, *calls)
		}
	}
}

func TestTheWaitThatTheCoordinatorAsksForIsKept(t *testing.T) {
	coordinator, client := pair(t)
	_, answer := failing(2, unavailable(40*time.Millisecond))
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName, answer)
	started := time.Now()
	if _, err := client.GetSuite(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 80*time.Millisecond {
		t.Errorf("two waits of 40 ms took %v", took)
	}
}

func TestNoAttemptBeginsAfterTheTimeOfThePolicy(t *testing.T) {
	coordinator, client := pair(t, WithRetryPolicy(RetryPolicy{MaxElapsed: time.Second}))
	calls, answer := failing(100, unavailable(time.Minute))
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName, answer)
	if _, err := client.GetSuite(t.Context(), "7"); !errors.Is(err, ErrUnavailable) || *calls != 1 {
		t.Fatalf("got %v after %d calls", err, *calls)
	}
}

func TestACallThatIsNotAnsweredInTimeIsRepeatedWithItsRequestID(t *testing.T) {
	coordinator, client := pair(t, WithTimeout(50*time.Millisecond))
	var ids []string
	on(coordinator, mitosisv1.SuiteService_CreateSuite_FullMethodName,
		func(ctx context.Context, request *mitosisv1.CreateSuiteRequest) (*mitosisv1.CreateSuiteResponse, error) {
			if ids = append(ids, request.GetRequestId()); len(ids) == 1 {
				<-ctx.Done()
				return nil, status.FromContextError(ctx.Err()).Err()
			}
			return &mitosisv1.CreateSuiteResponse{Suite: &mitosisv1.TaskSuite{}}, nil
		})
	if _, err := client.CreateSuite(t.Context(), SuiteSpec{Name: "s"}); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("request ids %q", ids)
	}
}

func TestACallThatIsNeverAnsweredEndsWithThePolicy(t *testing.T) {
	policy := RetryPolicy{MaxAttempts: 100, MaxElapsed: 300 * time.Millisecond, MaxBackoff: time.Millisecond}
	coordinator, client := pair(t, WithTimeout(200*time.Millisecond), WithRetryPolicy(policy))
	calls := 0
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName,
		func(ctx context.Context, _ *mitosisv1.GetSuiteRequest) (*mitosisv1.GetSuiteResponse, error) {
			calls++
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		})
	if _, err := client.GetSuite(t.Context(), "7"); !errors.Is(err, ErrDeadlineExceeded) || calls != 2 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestTheContextEndsTheWait(t *testing.T) {
	coordinator, client := pair(t)
	_, answer := failing(100, unavailable(20*time.Second))
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName, answer)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := client.GetSuite(ctx, "7")
	// It says both why there is no answer and what ended the waiting for one.
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

func TestAWriteIsRepeatedUnderItsFirstRequestID(t *testing.T) {
	for _, given := range []string{"", "mine"} {
		coordinator, client := pair(t)
		var ids []string
		on(coordinator, mitosisv1.SuiteService_CreateSuite_FullMethodName,
			func(_ context.Context, request *mitosisv1.CreateSuiteRequest) (*mitosisv1.CreateSuiteResponse, error) {
				if ids = append(ids, request.GetRequestId()); len(ids) < 3 {
					return nil, unavailable(0)
				}
				return &mitosisv1.CreateSuiteResponse{Suite: &mitosisv1.TaskSuite{}}, nil
			})
		if _, err := client.CreateSuite(t.Context(), SuiteSpec{Name: "s", RequestID: given}); err != nil {
			t.Fatal(err)
		}
		if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[1] != ids[2] || given != "" && ids[0] != given {
			t.Errorf("given %q, sent %q", given, ids)
		}
	}
}

func TestAWriteWithoutRequestIDIsNotRepeated(t *testing.T) {
	coordinator, client := pair(t)
	calls := 0
	on(coordinator, mitosisv1.SuiteService_CancelSuite_FullMethodName,
		func(context.Context, *mitosisv1.CancelSuiteRequest) (*mitosisv1.CancelSuiteResponse, error) {
			calls++
			return nil, unavailable(0)
		})
	if _, err := client.CancelSuite(t.Context(), "7", SuiteCancellation{}); !errors.Is(err, ErrUnavailable) || calls != 1 {
		t.Fatalf("got %v after %d calls", err, calls)
	}
	if repeatable(mitosisv1.TaskService_SubmitTask_FullMethodName, &mitosisv1.SubmitTaskRequest{}) {
		t.Error("a request without its id may be repeated")
	}
}

// services are those of the contract.
var services = []protoreflect.FileDescriptor{
	mitosisv1.File_mitosis_v1_suite_service_proto,
	mitosisv1.File_mitosis_v1_task_service_proto,
	mitosisv1.File_mitosis_v1_manager_service_proto,
	mitosisv1.File_mitosis_v1_worker_service_proto,
	mitosisv1.File_mitosis_v1_auth_service_proto,
	mitosisv1.File_mitosis_v1_admin_service_proto,
}

func TestEveryCallIsKnownToBeSafeToRepeatOrNot(t *testing.T) {
	known := map[string]bool{}
	for _, file := range services {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				method := methods.Get(j)
				name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
				known[name] = true
				if method.IsStreamingClient() || method.IsStreamingServer() {
					continue
				}
				_, listed := idempotent[name]
				identified := method.Input().Fields().ByName("request_id") != nil
				if listed == identified {
					t.Errorf("%s: in the table of retry.go: %v; has a request_id: %v; wants one of them", name, listed, identified)
				}
			}
		}
	}
	for name := range idempotent {
		if !known[name] {
			t.Errorf("the table of retry.go has %s, the contract has not", name)
		}
	}
}

func TestDelaysGrowToTheirLimitAndSpread(t *testing.T) {
	policy := RetryPolicy{InitialBackoff: 100 * time.Millisecond, MaxBackoff: 500 * time.Millisecond}.withDefaults()
	ceilings := []time.Duration{100, 200, 400, 500, 500}
	longest := make([]time.Duration, len(ceilings))
	for range 500 {
		delays := policy.delays()
		for i, ceiling := range ceilings {
			delay := delays.next()
			if delay < 0 || delay > ceiling*time.Millisecond {
				t.Fatalf("wait %d is %v, above %d ms", i, delay, ceiling)
			}
			longest[i] = max(longest[i], delay)
		}
	}
	for i, ceiling := range ceilings {
		if longest[i] < ceiling*time.Millisecond*9/10 {
			t.Errorf("wait %d never came near its ceiling of %d ms: %v", i, ceiling, longest[i])
		}
	}
}
