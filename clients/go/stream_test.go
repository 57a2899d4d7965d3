package mitosis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// taskStore keeps tasks under the names of their batches; its streams end as the test says.
type taskStore struct {
	mitosisv1.UnimplementedTaskServiceServer
	streams, alone int
	sizes          []int
	ranges         map[string]*mitosisv1.TaskRange
	payloads       []string
	// end is asked after each message of a stream, by the stream's and the message's number.
	end func(stream, message int) error
}

func (s *taskStore) store(name string, tasks []*mitosisv1.NewTask) *mitosisv1.TaskRange {
	if known := s.ranges[name]; known != nil {
		return known
	}
	first := fmt.Sprintf("00000000-0000-0000-0000-%012x", len(s.payloads))
	for _, task := range tasks {
		s.payloads = append(s.payloads, task.GetTaskSpec().GetPayload())
	}
	s.sizes = append(s.sizes, len(tasks))
	s.ranges[name] = &mitosisv1.TaskRange{FirstTaskUuid: first, Count: int32(len(tasks))}
	return s.ranges[name]
}

func (s *taskStore) SubmitTaskStream(
	stream grpc.ClientStreamingServer[mitosisv1.SubmitTaskStreamRequest, mitosisv1.SubmitTaskStreamResponse],
) error {
	number := s.streams
	s.streams++
	answer := &mitosisv1.SubmitTaskStreamResponse{}
	for message := 0; ; message++ {
		request, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(answer)
		}
		if err != nil {
			return err
		}
		stored := s.store(fmt.Sprintf("%s/%d", request.GetRequestId(), message), request.GetTasks())
		answer.Ranges = append(answer.Ranges, stored)
		answer.TaskCount += int64(stored.GetCount())
		if err := s.end(number, message); err != nil {
			return err
		}
	}
}

// streaming returns a client of a store.
func streaming(t *testing.T) (*taskStore, *fake, *Client) {
	t.Helper()
	coordinator, client := pair(t)
	store := &taskStore{
		ranges: map[string]*mitosisv1.TaskRange{},
		end:    func(int, int) error { return nil },
	}
	coordinator.tasks = store
	on(coordinator, mitosisv1.TaskService_SubmitTasks_FullMethodName,
		func(_ context.Context, request *mitosisv1.SubmitTasksRequest) (*mitosisv1.SubmitTasksResponse, error) {
			store.alone++
			stored := decodeTaskRange(store.store(request.GetRequestId(), request.GetTasks()))
			return &mitosisv1.SubmitTasksResponse{TaskUuids: slices.Collect(stored.UUIDs())}, nil
		})
	return store, coordinator, client
}

func count(ranges []TaskRange) int {
	tasks := 0
	for _, stored := range ranges {
		tasks += stored.Count
	}
	return tasks
}

func TestAStreamIsStoredInOrderPartAfterPart(t *testing.T) {
	store, _, client := streaming(t)
	var read int
	stored, err := client.SubmitTaskStream(t.Context(), Stream{To: ToSuite("7"), Tasks: numbered(101_500, &read)})
	if err != nil || count(stored) != 101_500 || len(stored) != 51 || store.streams != 2 || store.alone != 0 {
		t.Fatalf("got %d tasks in %d ranges by %d streams, %v", count(stored), len(stored), store.streams, err)
	}
	if !slices.Equal(store.payloads, upTo(101_500)) || store.sizes[0] != 2000 || store.sizes[50] != 1500 {
		t.Errorf("stored batches of %v", store.sizes)
	}
	if stored[1].FirstTaskUUID != "00000000-0000-0000-0000-0000000007d0" {
		t.Errorf("got %v", stored[1])
	}
}

func TestAStreamThatBreaksIsResumedAndStaysRepeatable(t *testing.T) {
	store, _, client := streaming(t)
	store.end = func(stream, message int) error {
		if stream == 0 && message == 3 {
			return unavailable(0)
		}
		return nil
	}
	var read int
	stream := Stream{To: ToSuite("7"), Tasks: numbered(101_500, &read), RequestID: "mine"}
	stored, err := client.SubmitTaskStream(t.Context(), stream)
	if err != nil || read != 101_500 || store.alone != 50 || !slices.Equal(store.payloads, upTo(101_500)) {
		t.Fatalf("read %d, stored %d, %d batches alone, %v", read, len(store.payloads), store.alone, err)
	}
	again, err := client.SubmitTaskStream(t.Context(), stream)
	if err != nil || !slices.Equal(again, stored) || len(store.payloads) != 101_500 {
		t.Fatalf("stored %d, %v", len(store.payloads), err)
	}
}

func TestARefusedTaskOfAStreamIsNamedByItsPlaceAmongAll(t *testing.T) {
	store, _, client := streaming(t)
	store.end = func(stream, _ int) error {
		if stream == 0 {
			return nil
		}
		return failure(codes.InvalidArgument, ErrInvalidField, nil, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "tasks[3].task_spec.handler", Description: "no"}},
		})
	}
	var read int
	stored, err := client.SubmitTaskStream(t.Context(), Stream{To: ToSuite("7"), Tasks: numbered(100_010, &read)})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Fields[0].Field != "tasks[100003].task_spec.handler" {
		t.Fatalf("got %v", err)
	}
	if count(stored) != 100_000 || store.alone != 0 {
		t.Errorf("told of %d tasks, %d batches alone", count(stored), store.alone)
	}
}

func TestWhatComesBeforeATaskThatCannotBeSentIsStored(t *testing.T) {
	store, _, client := streaming(t)
	var read int
	stored, err := client.SubmitTaskStream(t.Context(), Stream{To: ToSuite("7"), Tasks: func(yield func(NewTask) bool) {
		numbered(4500, &read)(yield)
		yield(NewTask{Spec: TaskSpec{Payload: func() {}}})
	}})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Fields[0].Field != "tasks[4500].task_spec.payload" {
		t.Fatalf("got %v", err)
	}
	if count(stored) != 4000 || len(store.payloads) != 4000 {
		t.Errorf("told of %d, stored %d", count(stored), len(store.payloads))
	}
}

func TestAStreamThatCannotBegin(t *testing.T) {
	store, _, client := streaming(t)
	var read int
	long := Stream{To: ToSuite("7"), Tasks: numbered(1, &read), RequestID: strings.Repeat("x", 81)}
	if _, err := client.SubmitTaskStream(t.Context(), long); !errors.Is(err, ErrInvalidField) || read != 0 {
		t.Errorf("got %v after reading %d", err, read)
	}
	stored, err := client.SubmitTaskStream(t.Context(), Stream{To: ToSuite("7"), Tasks: numbered(0, &read)})
	if err != nil || stored != nil || store.streams != 0 {
		t.Errorf("got %v, %v by %d streams", stored, err, store.streams)
	}
}

func TestAnArrayIsOneCallThatIsStoredOnce(t *testing.T) {
	coordinator, client := pair(t)
	var requests []*mitosisv1.SubmitArrayRequest
	on(coordinator, mitosisv1.TaskService_SubmitArray_FullMethodName,
		func(_ context.Context, request *mitosisv1.SubmitArrayRequest) (*mitosisv1.SubmitArrayResponse, error) {
			if requests = append(requests, request); len(requests) == 1 {
				return nil, unavailable(0)
			}
			return &mitosisv1.SubmitArrayResponse{Tasks: &mitosisv1.TaskRange{
				FirstTaskUuid: "018f0000-0000-7000-8000-0000ffffffff", Count: 2,
			}}, nil
		})
	spec := TaskSpec{Handler: "m:f"}
	made, err := client.SubmitArray(t.Context(), Array{SuiteUUID: "7", Spec: spec, Payloads: PayloadRange(9, -1, -5), Priority: 3})
	want := []string{"018f0000-0000-7000-8000-0000ffffffff", "018f0000-0000-7000-8000-000100000000"}
	if got := slices.Collect(made.UUIDs()); err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v", got, err)
	}
	if len(requests) != 2 || requests[0].GetRequestId() == "" || requests[0].GetRequestId() != requests[1].GetRequestId() {
		t.Errorf("requests %v", requests)
	}
	numbers := requests[1].GetRange()
	if numbers.GetStart() != 9 || numbers.GetStop() != -1 || numbers.GetStep() != -5 || requests[1].GetPriority() != 3 {
		t.Errorf("got %v", requests[1])
	}
	list := PayloadList[any](nil, map[string]int{"a": 1}, "x")
	if _, err := client.SubmitArray(t.Context(), Array{SuiteUUID: "7", Payloads: list, RequestID: "mine"}); err != nil {
		t.Fatal(err)
	}
	last := requests[len(requests)-1]
	if got := last.GetList().GetPayloads(); !slices.Equal(got, []string{"null", `{"a":1}`, `"x"`}) || last.GetRequestId() != "mine" {
		t.Errorf("got %v", last)
	}
	_, err = client.SubmitArray(t.Context(), Array{SuiteUUID: "7", Payloads: PayloadList(any(1), any(func() {}))})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Fields[0].Field != "list.payloads[1]" || len(requests) != 3 {
		t.Errorf("got %v", err)
	}
}
