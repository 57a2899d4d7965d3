package mitosis

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

type watchStream = grpc.ServerStreamingServer[mitosisv1.WatchSuiteResponse]

const (
	executing = mitosisv1.TaskSuiteState_TASK_SUITE_STATE_EXECUTING
	complete  = mitosisv1.TaskSuiteState_TASK_SUITE_STATE_COMPLETE
)

func send(stream watchStream, state mitosisv1.TaskSuiteState, completed, managers int32) {
	_ = stream.Send(&mitosisv1.WatchSuiteResponse{Suite: &mitosisv1.TaskSuite{
		Uuid: "7", State: state, CompletedTasks: completed, AssignedManagers: managers,
	}})
}

// scripted plays one step for each stream that is opened.
func scripted(t *testing.T, steps ...func(watchStream) error) (*fake, *Client, *int) {
	t.Helper()
	coordinator, client := pair(t)
	opened := new(int)
	coordinator.watch = func(request *mitosisv1.WatchSuiteRequest, stream watchStream) error {
		if *opened++; request.GetUuid() != "7" || *opened > len(steps) {
			return status.Errorf(codes.FailedPrecondition, "stream %d of %q", *opened, request.GetUuid())
		}
		return steps[*opened-1](stream)
	}
	on(coordinator, mitosisv1.SuiteService_GetSuite_FullMethodName,
		func(context.Context, *mitosisv1.GetSuiteRequest) (*mitosisv1.GetSuiteResponse, error) {
			return &mitosisv1.GetSuiteResponse{Suite: &mitosisv1.TaskSuite{
				Uuid: "7", State: complete, HookRuns: []*mitosisv1.HookRun{{ManagerName: "m"}},
			}}, nil
		})
	return coordinator, client, opened
}

// seen returns the numbers of completed tasks that a watch or a wait has shown.
func seen(numbers *[]int) func(*Suite) {
	return func(suite *Suite) { *numbers = append(*numbers, suite.CompletedTasks) }
}

func TestAWatchIsOpenedAgainHoweverItBroke(t *testing.T) {
	_, client, opened := scripted(t,
		func(watchStream) error { return unavailable(time.Millisecond) },
		func(stream watchStream) error {
			send(stream, executing, 1, 1)
			return unavailable(0)
		},
		func(stream watchStream) error {
			send(stream, executing, 2, 1)
			return status.Error(codes.Canceled, "the coordinator cuts its streams")
		},
		func(stream watchStream) error {
			send(stream, executing, 3, 1)
			return nil
		},
		func(stream watchStream) error {
			send(stream, complete, 4, 1)
			send(stream, complete, 4, 0)
			return nil
		},
	)
	var numbers []int
	for suite, err := range client.WatchSuite(t.Context(), "7") {
		if err != nil {
			t.Fatal(err)
		}
		seen(&numbers)(suite)
	}
	if !reflect.DeepEqual(numbers, []int{1, 2, 3, 4, 4}) || *opened != 5 {
		t.Errorf("got %v over %d streams", numbers, *opened)
	}
}

func TestAWaitEndsWithTheSuiteOrWithItsRelease(t *testing.T) {
	steps := func(closed chan struct{}) func(watchStream) error {
		return func(stream watchStream) error {
			defer close(closed)
			send(stream, executing, 1, 1)
			send(stream, complete, 2, 1)
			select {
			case <-stream.Context().Done():
				return stream.Context().Err()
			case <-time.After(50 * time.Millisecond):
			}
			send(stream, complete, 3, 0)
			return nil
		}
	}
	for name, test := range map[string]struct {
		options []WaitOption
		want    []int
	}{
		"ended":    {nil, []int{1, 2}},
		"released": {[]WaitOption{UntilReleased()}, []int{1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			_, client, _ := scripted(t, steps(closed))
			var numbers []int
			suite, err := client.WaitForSuite(t.Context(), "7", append(test.options, OnProgress(seen(&numbers)))...)
			if err != nil {
				t.Fatal(err)
			}
			if suite.State != SuiteComplete || len(suite.HookRuns) != 1 {
				t.Errorf("got %+v", suite)
			}
			if !reflect.DeepEqual(numbers, test.want) {
				t.Errorf("progress %v, want %v", numbers, test.want)
			}
			// Whoever stops listening closes the stream.
			select {
			case <-closed:
			case <-time.After(5 * time.Second):
				t.Error("the stream is still open")
			}
		})
	}
}

func TestAWaitFailsWithWhatCannotBeMended(t *testing.T) {
	_, client, opened := scripted(t,
		func(stream watchStream) error {
			send(stream, executing, 1, 1)
			return unavailable(0)
		},
		func(watchStream) error { return failure(codes.NotFound, ErrNotFound, nil) },
	)
	suite, err := client.WaitForSuite(t.Context(), "7")
	var typed *Error
	if suite != nil || !errors.As(err, &typed) || typed.Reason != ErrNotFound || typed.Method != "WatchSuite" {
		t.Errorf("got %v, %v", suite, err)
	}
	if *opened != 2 {
		t.Errorf("opened %d streams", *opened)
	}
}

func TestTheContextEndsAWait(t *testing.T) {
	quiet := func(stream watchStream) error {
		send(stream, executing, 1, 1)
		<-stream.Context().Done()
		return nil
	}
	away := func(watchStream) error { return unavailable(time.Minute) }
	for name, step := range map[string]func(watchStream) error{"listening": quiet, "between streams": away} {
		t.Run(name, func(t *testing.T) {
			_, client, _ := scripted(t, step)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			_, err := client.WaitForSuite(ctx, "7")
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("canceled by the caller", func(t *testing.T) {
		_, client, opened := scripted(t, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := client.WaitForSuite(ctx, "7", OnProgress(func(*Suite) { cancel() }))
		if !errors.Is(err, context.Canceled) || *opened != 1 {
			t.Errorf("got %v over %d streams", err, *opened)
		}
	})
}
