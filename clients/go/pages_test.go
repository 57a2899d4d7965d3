package mitosis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// threePages answers with two tasks a page, "0.0" to "2.1", and notes the requests.
func threePages(coordinator *fake) *[]*mitosisv1.ListTasksRequest {
	var requests []*mitosisv1.ListTasksRequest
	next := map[string]string{"": "one", "one": "two", "two": ""}
	number := map[string]int{"": 0, "one": 1, "two": 2}
	on(coordinator, mitosisv1.TaskService_ListTasks_FullMethodName,
		func(_ context.Context, request *mitosisv1.ListTasksRequest) (*mitosisv1.ListTasksResponse, error) {
			requests = append(requests, request)
			page := &mitosisv1.ListTasksResponse{NextPageToken: next[request.GetPageToken()]}
			for i := range 2 {
				uuid := fmt.Sprintf("%d.%d", number[request.GetPageToken()], i)
				page.Tasks = append(page.Tasks, &mitosisv1.Task{Uuid: uuid})
			}
			return page, nil
		})
	return &requests
}

func TestAListIsReadPageAfterPage(t *testing.T) {
	coordinator, client := pair(t)
	requests := threePages(coordinator)
	list := client.ListTasks(t.Context(), TaskFilter{SuiteUUID: "7", State: TaskFailed, PageSize: 2})
	// An iterator may be ranged over again; it then begins anew.
	for range 2 {
		*requests = nil
		var uuids []string
		for task, err := range list {
			if err != nil {
				t.Fatal(err)
			}
			uuids = append(uuids, task.UUID)
		}
		if !slices.Equal(uuids, []string{"0.0", "0.1", "1.0", "1.1", "2.0", "2.1"}) {
			t.Errorf("got %v", uuids)
		}
		for i, request := range *requests {
			if request.GetPageToken() != []string{"", "one", "two"}[i] || request.GetSuiteUuid() != "7" ||
				request.GetState() != mitosisv1.TaskState_TASK_STATE_FAILED || request.GetPageSize() != 2 {
				t.Errorf("request %d: %v", i, request)
			}
		}
	}
}

func TestAPageIsReadOnlyWhenItIsNeeded(t *testing.T) {
	coordinator, client := pair(t)
	requests := threePages(coordinator)
	for task, err := range client.ListTasks(t.Context(), TaskFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if task.UUID == "1.0" {
			break
		}
	}
	if len(*requests) != 2 {
		t.Errorf("read %d pages, want 2", len(*requests))
	}
}

func TestAnErrorIsTheLastThingThatAListYields(t *testing.T) {
	coordinator, client := pair(t)
	on(coordinator, mitosisv1.AdminService_ListUsers_FullMethodName,
		func(_ context.Context, request *mitosisv1.ListUsersRequest) (*mitosisv1.ListUsersResponse, error) {
			if request.GetPageToken() != "" {
				return nil, failure(codes.PermissionDenied, ErrPermissionDenied, nil)
			}
			return &mitosisv1.ListUsersResponse{Users: []*mitosisv1.User{{Username: "ada"}}, NextPageToken: "more"}, nil
		})
	var names []string
	var errs []error
	for user, err := range client.ListUsers(t.Context()) {
		if errs = append(errs, err); err == nil {
			names = append(names, user.Username)
		} else if user != nil {
			t.Errorf("got %v with the error", user)
		}
	}
	if !slices.Equal(names, []string{"ada"}) || len(errs) != 2 || !errors.Is(errs[1], ErrPermissionDenied) {
		t.Errorf("got %v, %v", names, errs)
	}
}

func TestAListRefusesAnUnknownStateWithoutAsking(t *testing.T) {
	_, client := pair(t)
	for _, err := range client.ListSuites(t.Context(), SuiteFilter{State: "Asleep"}) {
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Reason != ErrInvalidField || refusal.Fields[0].Field != "state" {
			t.Errorf("got %v", err)
		}
		want := `given "Asleep"; accepts one of Cancelled, Complete, Executing, Failed, Open, Queued`
		if got := refusal.Fields[0].Description; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
