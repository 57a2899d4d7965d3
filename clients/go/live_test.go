//go:build live

package mitosis_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"
	"time"

	mitosis "github.com/mitosis-project/mitosis/clients/go"
)

// The tests of this file need a coordinator with a manager, as `mitosis up` starts them, and its administrator's token:
//
//	go test -tags live ./...
//
// MITOSIS_CONNECTION names the connection file, where it is not the one that FindConnection finds.

const group = "default"

func connect(t *testing.T) (*mitosis.Client, context.Context) {
	t.Helper()
	connection, err := mitosis.FindConnection()
	if err != nil {
		t.Fatal(err)
	}
	client, err := connection.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return client, ctx
}

// unique returns a name that no other run has used.
func unique(name string) string {
	return fmt.Sprintf("go-%s-%d-%d", name, os.Getpid(), time.Now().UnixNano())
}

func must[Value any](value Value, err error) func(*testing.T) Value {
	return func(t *testing.T) Value {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func roots(numbers ...int) iter.Seq[mitosis.NewTask] {
	return func(yield func(mitosis.NewTask) bool) {
		for _, number := range numbers {
			if !yield(mitosis.NewTask{Spec: mitosis.TaskSpec{Handler: "math:isqrt", Payload: number}}) {
				return
			}
		}
	}
}

func TestLiveASuiteFromItsCreationToItsCleanup(t *testing.T) {
	client, ctx := connect(t)
	spec := mitosis.SuiteSpec{
		Name:             unique("suite"),
		GroupName:        group,
		Labels:           []string{"door:go"},
		WorkerSchedule:   &mitosis.WorkerSchedule{Strategy: mitosis.StrategyFixed, WorkerCount: 2, TaskPrefetchCount: new(8)},
		EnvPreparation:   &mitosis.Hook{Args: []string{"true"}, Timeout: 10 * time.Second},
		EnvCleanup:       &mitosis.Hook{Command: "echo cleaned"},
		AutoCloseTimeout: new(time.Hour),
		RequestID:        unique("request"),
	}
	suite := must(client.CreateSuite(ctx, spec))(t)
	if again := must(client.CreateSuite(ctx, spec))(t); again.UUID != suite.UUID {
		t.Errorf("the same request made %s and %s", suite.UUID, again.UUID)
	}
	if suite.AutoCloseTimeout != time.Hour || *suite.WorkerSchedule.TaskPrefetchCount != 8 ||
		suite.EnvPreparation.Timeout != 10*time.Second || suite.CreatedAt.IsZero() || !suite.FinishedAt.IsZero() {
		t.Errorf("got %+v", suite)
	}
	suite = must(client.UpdateSuite(ctx, suite.UUID, mitosis.SuiteChanges{Priority: new(5), Labels: []string{}}))(t)
	if suite.Priority != 5 || len(suite.Labels) != 0 || suite.Name != spec.Name {
		t.Errorf("got %+v", suite)
	}

	var uuids []string
	submitted := must(client.SubmitTasks(ctx, mitosis.ToSuite(suite.UUID), roots(0, 1, 4, 9, 16, -1),
		mitosis.WithBatchSize(2), mitosis.OnBatch(func(stored []string) { uuids = append(uuids, stored...) })))(t)
	if submitted != 6 || len(uuids) != 6 {
		t.Fatalf("submitted %d, told %d", submitted, len(uuids))
	}
	must(client.CloseSuite(ctx, suite.UUID))(t)
	progress := 0
	suite = must(client.WaitForSuite(ctx, suite.UUID, mitosis.UntilReleased(),
		mitosis.OnProgress(func(*mitosis.Suite) { progress++ })))(t)
	if suite.State != mitosis.SuiteComplete || suite.CompletedTasks != 5 || suite.FailedTasks != 1 ||
		!suite.Released() || progress == 0 || len(suite.EligibleManagers) == 0 {
		t.Errorf("after %d changes: %+v", progress, suite)
	}
	cleaned := slices.ContainsFunc(suite.HookRuns, func(run mitosis.HookRun) bool {
		return run.Type == mitosis.HookCleanup && run.Result == mitosis.HookSuccess && *run.ExitCode == 0 &&
			run.OutputTail == "cleaned\n"
	})
	if !cleaned {
		t.Errorf("hook runs %+v", suite.HookRuns)
	}

	task := must(client.GetTask(ctx, uuids[4]))(t)
	var root, payload int
	if err := task.Result.Decode(&root); err != nil || root != 4 || task.State != mitosis.TaskCompleted {
		t.Errorf("got %d, %v of %+v", root, err, task)
	}
	if err := task.Spec.DecodePayload(&payload); err != nil || payload != 16 {
		t.Errorf("got payload %d, %v", payload, err)
	}
	filter := mitosis.TaskFilter{SuiteUUID: suite.UUID, State: mitosis.TaskFailed}
	for task, err := range client.ListTasks(ctx, filter) {
		if err != nil {
			t.Fatal(err)
		}
		failed := must(client.GetTask(ctx, task.UUID))(t)
		if task.UUID != uuids[5] || len(failed.Failures) != 1 || failed.Failures[0].Kind != mitosis.FailureTask {
			t.Errorf("failed: %+v", failed)
		}
	}
	if _, retried, err := client.RetrySuite(ctx, suite.UUID); err != nil || retried != 1 {
		t.Errorf("retried %d, %v", retried, err)
	}
}

func TestLiveArraysAndStreamsRun(t *testing.T) {
	client, ctx := connect(t)
	suite := must(client.CreateSuite(ctx, mitosis.SuiteSpec{Name: unique("array"), GroupName: group}))(t)
	spec := mitosis.TaskSpec{Handler: "math:isqrt"}
	array := mitosis.Array{SuiteUUID: suite.UUID, Spec: spec, Payloads: mitosis.PayloadRange(0, 1000, 10)}
	made := must(client.SubmitArray(ctx, array))(t)
	stream := mitosis.Stream{To: mitosis.ToSuite(suite.UUID), Tasks: roots(49, 64), RequestID: unique("stream")}
	stored := must(client.SubmitTaskStream(ctx, stream))(t)
	if again := must(client.SubmitTaskStream(ctx, stream))(t); !slices.Equal(again, stored) {
		t.Errorf("the same request stored %v and %v", stored, again)
	}
	must(client.CloseSuite(ctx, suite.UUID))(t)
	if suite = must(client.WaitForSuite(ctx, suite.UUID))(t); suite.CompletedTasks != 102 {
		t.Errorf("got %+v", suite)
	}
	uuids := append(slices.Collect(made.UUIDs())[90:91], slices.Collect(stored[0].UUIDs())...)
	for i, want := range []int{30, 7, 8} {
		var root int
		if err := must(client.GetTask(ctx, uuids[i]))(t).Result.Decode(&root); err != nil || root != want {
			t.Errorf("got %d, %v; want %d", root, err, want)
		}
	}
}

func TestLiveListsAreReadPageAfterPage(t *testing.T) {
	client, ctx := connect(t)
	label := unique("label")
	var want []string
	for i := range 5 {
		suite := must(client.CreateSuite(ctx, mitosis.SuiteSpec{
			Name: fmt.Sprintf("page %d", i), GroupName: group, Labels: []string{label}, Tags: []string{"no-such-machine"},
		}))(t)
		want = append([]string{suite.UUID}, want...)
	}
	filter := mitosis.SuiteFilter{GroupName: group, Labels: []string{label}, State: mitosis.SuiteQueued, PageSize: 2}
	var got []string
	for suite, err := range client.ListSuites(ctx, filter) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, suite.UUID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, uuid := range got {
		must(client.CancelSuite(ctx, uuid, mitosis.SuiteCancellation{Reason: "the test is over"}))(t)
	}
}

func TestLiveErrorsSayWhy(t *testing.T) {
	client, ctx := connect(t)
	var refusal *mitosis.Error

	_, err := client.GetSuite(ctx, "00000000-0000-7000-8000-000000000000")
	if !errors.Is(err, mitosis.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	_, err = client.CreateSuite(ctx, mitosis.SuiteSpec{GroupName: group, Priority: 1 << 40})
	if !errors.As(err, &refusal) || refusal.Reason != mitosis.ErrInvalidField || len(refusal.Fields) != 2 {
		t.Errorf("got %v", err)
	}
	if _, err = client.SubmitTask(ctx, mitosis.ToGroup(unique("nobody")), mitosis.NewTask{}); !errors.Is(err, mitosis.ErrNotFound) {
		t.Errorf("got %v", err)
	}

	suite := must(client.CreateSuite(ctx, mitosis.SuiteSpec{Name: unique("gone"), GroupName: group}))(t)
	bad := func(yield func(mitosis.NewTask) bool) {
		for i := 0; i < 9 && yield(mitosis.NewTask{Spec: mitosis.TaskSpec{Command: "true", MaxRetries: new(1000 * (i / 7))}}); i++ {
		}
	}
	submitted, err := client.SubmitTasks(ctx, mitosis.ToSuite(suite.UUID), bad, mitosis.WithBatchSize(3))
	if !errors.As(err, &refusal) || submitted != 6 || refusal.Fields[0].Field != "tasks[7].task_spec.max_retries" {
		t.Errorf("got %d, %v", submitted, err)
	}
	must(client.CancelSuite(ctx, suite.UUID, mitosis.SuiteCancellation{CancelRunningTasks: true}))(t)
	_, err = client.CancelSuite(ctx, suite.UUID, mitosis.SuiteCancellation{})
	if !errors.As(err, &refusal) || refusal.Reason != mitosis.ErrWrongState || refusal.State != "Cancelled" {
		t.Errorf("got %v", err)
	}
}

func TestLiveUsersGroupsAndTheirRights(t *testing.T) {
	admin, ctx := connect(t)
	name, team, password := unique("ada"), unique("team"), "correct horse"
	must(admin.CreateUser(ctx, mitosis.UserSpec{Username: name, Password: password}))(t)
	if _, err := admin.CreateUser(ctx, mitosis.UserSpec{Username: name, Password: password}); !errors.Is(err, mitosis.ErrAlreadyExists) {
		t.Errorf("got %v", err)
	}
	must(admin.CreateGroup(ctx, team))(t)
	must(admin.SetMember(ctx, team, name, mitosis.RoleViewer))(t)

	connection := must(mitosis.FindConnection())(t)
	if _, err := admin.Login(ctx, name, "wrong password"); !errors.Is(err, mitosis.ErrInvalidCredentials) {
		t.Errorf("got %v", err)
	}
	login := must(admin.Login(ctx, name, password))(t)
	ada := must(mitosis.NewClient(connection.Address, mitosis.WithToken(string(login.Token))))(t)
	defer ada.Close()
	user := must(ada.CurrentUser(ctx))(t)
	if user.Username != name || !slices.Contains(user.Memberships, mitosis.UserMembership{GroupName: team, Role: mitosis.RoleViewer}) {
		t.Errorf("got %+v", user)
	}
	for _, err := range ada.ListUsers(ctx) {
		if !errors.Is(err, mitosis.ErrPermissionDenied) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := ada.CreateSuite(ctx, mitosis.SuiteSpec{Name: "s", GroupName: team}); !errors.Is(err, mitosis.ErrPermissionDenied) {
		t.Errorf("got %v", err)
	}

	must(admin.UpdateUser(ctx, name, mitosis.UserChanges{Disabled: new(true)}))(t)
	if _, err := ada.CurrentUser(ctx); !errors.Is(err, mitosis.ErrUnauthenticated) {
		t.Errorf("got %v", err)
	}
	must(admin.RemoveMember(ctx, team, name))(t)
	if members := must(admin.GetGroup(ctx, team))(t).Members; len(members) != 1 || members[0].Role != mitosis.RoleAdmin {
		t.Errorf("got %+v", members)
	}
}

func TestLiveManagers(t *testing.T) {
	client, ctx := connect(t)
	registration := must(client.RegisterManager(ctx, mitosis.ManagerSpec{
		Name:        unique("manager"),
		Tags:        []string{"gpu"},
		Memberships: []mitosis.ManagerMembership{{GroupName: group, Role: mitosis.ManagerRoleAdmin}},
		MaxWorkers:  2,
	}))(t)
	made := must(client.GetManager(ctx, registration.Manager.UUID))(t)
	if made.State != mitosis.ManagerOffline || made.MaxWorkers != 2 || registration.Token == "" {
		t.Errorf("got %+v", made)
	}
	if _, err := client.ShutdownManager(ctx, made.UUID, mitosis.Graceful); !errors.Is(err, mitosis.ErrWrongState) {
		t.Errorf("got %v", err)
	}
	found := false
	for manager, err := range client.ListManagers(ctx, mitosis.ManagerFilter{Tags: []string{"gpu"}, PageSize: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || manager.UUID == made.UUID
	}
	if !found {
		t.Error("it is not in the list")
	}
}
