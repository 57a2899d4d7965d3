package mitosis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// numbered yields tasks whose payload is their number, and counts how many were read.
func numbered(count int, read *int) iter.Seq[NewTask] {
	return func(yield func(NewTask) bool) {
		for i := range count {
			if *read++; !yield(NewTask{Spec: TaskSpec{Handler: "m:f", Payload: i}}) {
				return
			}
		}
	}
}

// store answers SubmitTasks with the payloads as UUIDs.
func store(coordinator *fake, before func(context.Context, *mitosisv1.SubmitTasksRequest) error) {
	on(coordinator, mitosisv1.TaskService_SubmitTasks_FullMethodName,
		func(ctx context.Context, request *mitosisv1.SubmitTasksRequest) (*mitosisv1.SubmitTasksResponse, error) {
			if err := before(ctx, request); err != nil {
				return nil, err
			}
			answer := &mitosisv1.SubmitTasksResponse{}
			for _, task := range request.GetTasks() {
				answer.TaskUuids = append(answer.TaskUuids, task.GetTaskSpec().GetPayload())
			}
			return answer, nil
		})
}

func upTo(count int) []string {
	numbers := make([]string, count)
	for i := range numbers {
		numbers[i] = fmt.Sprint(i)
	}
	return numbers
}

func TestTasksAreStoredInBatchesAndToldInOrder(t *testing.T) {
	coordinator, client := pair(t)
	var mutex sync.Mutex
	var sizes []int
	ids := map[string]int{}
	store(coordinator, func(_ context.Context, request *mitosisv1.SubmitTasksRequest) error {
		mutex.Lock()
		defer mutex.Unlock()
		sizes = append(sizes, len(request.GetTasks()))
		ids[request.GetRequestId()]++
		// The first batch is the last to be answered.
		if request.GetTasks()[0].GetTaskSpec().GetPayload() == "0" {
			mutex.Unlock()
			time.Sleep(30 * time.Millisecond)
			mutex.Lock()
		}
		// An answer that is lost does not store a batch twice.
		if ids[request.GetRequestId()] == 1 {
			return unavailable(0)
		}
		return nil
	})
	var read int
	var told []string
	submitted, err := client.SubmitTasks(t.Context(), ToSuite("7"), numbered(95, &read),
		WithBatchSize(10), WithCallsInFlight(4), OnBatch(func(uuids []string) { told = append(told, uuids...) }))
	if err != nil || submitted != 95 {
		t.Fatalf("got %d, %v", submitted, err)
	}
	if !slices.Equal(told, upTo(95)) {
		t.Errorf("told %v", told)
	}
	if slices.Sort(sizes); len(ids) != 10 || sizes[0] != 5 || sizes[2] != 10 || sizes[len(sizes)-1] != 10 {
		t.Errorf("batches %v under %d ids", sizes, len(ids))
	}
}

func TestABatchIsSentWhenItIsLarge(t *testing.T) {
	coordinator, client := pair(t)
	var largest, calls atomic.Int64
	store(coordinator, func(_ context.Context, request *mitosisv1.SubmitTasksRequest) error {
		calls.Add(1)
		largest.Store(max(largest.Load(), int64(len(request.GetTasks()))))
		return nil
	})
	payload := strings.Repeat("x", 1<<20)
	submitted, err := client.SubmitTasks(t.Context(), ToSuite("7"), func(yield func(NewTask) bool) {
		for range 7 {
			if !yield(NewTask{Spec: TaskSpec{Payload: payload}}) {
				return
			}
		}
	}, WithCallsInFlight(1))
	if err != nil || submitted != 7 || calls.Load() != 3 || largest.Load() != 3 {
		t.Errorf("got %d, %v in %d calls of up to %d tasks", submitted, err, calls.Load(), largest.Load())
	}
}

func TestMemoryAndCallsInFlightAreBounded(t *testing.T) {
	coordinator, client := pair(t)
	const size, inFlight = 5, 3
	var running, most atomic.Int64
	release := make(chan struct{})
	store(coordinator, func(context.Context, *mitosisv1.SubmitTasksRequest) error {
		now := running.Add(1)
		defer running.Add(-1)
		most.Store(max(most.Load(), now))
		<-release
		return nil
	})
	var read atomic.Int64
	ended := make(chan error)
	go func() {
		_, err := client.SubmitTasks(t.Context(), ToSuite("7"), func(yield func(NewTask) bool) {
			for read.Load() < 200 {
				if read.Add(1); !yield(NewTask{}) {
					return
				}
			}
		}, WithBatchSize(size), WithCallsInFlight(inFlight))
		ended <- err
	}()
	// Three batches are on their way, one is full, and one task has shown that it is.
	const bound = (inFlight+1)*size + 1
	for deadline := time.Now().Add(5 * time.Second); read.Load() < bound && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	if got := read.Load(); got != bound {
		t.Errorf("read %d tasks while nothing was answered", got)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if most.Load() != inFlight || read.Load() != 200 {
		t.Errorf("%d calls at once, %d tasks read", most.Load(), read.Load())
	}
}

func TestAnErrorStopsTheSubmissionAndCountsFromTheFirstTask(t *testing.T) {
	coordinator, client := pair(t)
	store(coordinator, func(_ context.Context, request *mitosisv1.SubmitTasksRequest) error {
		if request.GetTasks()[0].GetTaskSpec().GetPayload() != "20" {
			return nil
		}
		return failure(codes.InvalidArgument, ErrInvalidField, nil, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: "tasks[3].task_spec.handler", Description: "no"},
				{Field: "tasks", Description: "no"},
			},
		})
	})
	var read int
	var told []string
	submitted, err := client.SubmitTasks(t.Context(), ToSuite("7"), numbered(1_000_000, &read), WithBatchSize(10),
		OnBatch(func(uuids []string) { told = append(told, uuids...) }))
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Reason != ErrInvalidField {
		t.Fatalf("got %v", err)
	}
	if refusal.Fields[0].Field != "tasks[23].task_spec.handler" || refusal.Fields[1].Field != "tasks" {
		t.Errorf("got %v", refusal.Fields)
	}
	if submitted != len(told) || submitted < 20 || read > 200 || slices.Contains(told, "20") {
		t.Errorf("%d submitted, %d told, %d read", submitted, len(told), read)
	}
}

func TestAPayloadThatIsNoJSONIsRefusedInItsPlace(t *testing.T) {
	coordinator, client := pair(t)
	store(coordinator, func(context.Context, *mitosisv1.SubmitTasksRequest) error { return nil })
	submitted, err := client.SubmitTasks(t.Context(), ToGroup("default"), func(yield func(NewTask) bool) {
		for i := 0; yield(NewTask{Spec: TaskSpec{Payload: i}}); i++ {
			if i == 24 && !yield(NewTask{Spec: TaskSpec{Payload: func() {}}}) {
				return
			}
		}
	}, WithBatchSize(10))
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Fields[0].Field != "tasks[25].task_spec.payload" || submitted != 20 {
		t.Fatalf("got %d, %v", submitted, err)
	}
}

func TestTheContextEndsASubmission(t *testing.T) {
	coordinator, client := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	store(coordinator, func(ctx context.Context, request *mitosisv1.SubmitTasksRequest) error {
		if request.GetTasks()[0].GetTaskSpec().GetPayload() == "30" {
			cancel()
			<-ctx.Done()
		}
		return nil
	})
	var read int
	submitted, err := client.SubmitTasks(ctx, ToSuite("7"), numbered(1_000_000, &read), WithBatchSize(10))
	// What was on its way beside the batch that failed, two before it or two after it, may have been stored or not.
	if !errors.Is(err, context.Canceled) || submitted < 10 || submitted > 50 || read > 200 {
		t.Fatalf("got %d, %v, read %d", submitted, err, read)
	}
}

func TestAPanicLeavesNoCallBehind(t *testing.T) {
	coordinator, client := pair(t)
	started, ended := make(chan struct{}), make(chan struct{})
	store(coordinator, func(ctx context.Context, _ *mitosisv1.SubmitTasksRequest) error {
		close(started)
		<-ctx.Done()
		close(ended)
		return nil
	})
	func() {
		defer func() {
			if recovered := recover(); recovered != "mine" {
				t.Errorf("recovered %v", recovered)
			}
		}()
		_, _ = client.SubmitTasks(context.Background(), ToSuite("7"), func(yield func(NewTask) bool) {
			yield(NewTask{})
			yield(NewTask{})
			<-started
			panic("mine")
		}, WithBatchSize(1))
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the call goes on")
	}
}

func TestNoTasksMakeNoCall(t *testing.T) {
	_, client := pair(t)
	submitted, err := client.SubmitTasks(t.Context(), ToSuite("7"), func(func(NewTask) bool) {})
	if submitted != 0 || err != nil {
		t.Errorf("got %d, %v", submitted, err)
	}
}
