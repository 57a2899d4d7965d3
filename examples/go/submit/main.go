// Command submit creates a suite, submits 1,000 tasks to it, waits for them and prints how they ended.
//
// It talks to the coordinator that the mitosis command would talk to, such as that of `mitosis up`:
//
//	go run ./submit
//
// examples/submit_and_wait.py is the same in Python.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	mitosis "github.com/mitosis-project/mitosis/clients/go"
)

const tasks = 1000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	connection, err := mitosis.FindConnection()
	if err != nil {
		return err
	}
	client, err := connection.NewClient()
	if err != nil {
		return err
	}
	defer client.Close()

	suite, err := client.CreateSuite(ctx, mitosis.SuiteSpec{
		Name:         "square roots",
		GroupName:    "default",
		TaskDefaults: &mitosis.TaskSpec{Handler: "math:isqrt"},
	})
	if err != nil {
		return err
	}
	if _, err := client.SubmitTasks(ctx, mitosis.ToSuite(suite.UUID), numbers); err != nil {
		return err
	}
	if _, err := client.CloseSuite(ctx, suite.UUID); err != nil {
		return err
	}
	suite, err = client.WaitForSuite(ctx, suite.UUID, mitosis.OnProgress(func(s *mitosis.Suite) {
		fmt.Fprintf(os.Stderr, "%s: %d of %d tasks have ended\n", s.State, s.TotalTasks-s.PendingTasks, s.TotalTasks)
	}))
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d tasks, %d completed, %d failed, %d cancelled\n",
		suite.State, suite.TotalTasks, suite.CompletedTasks, suite.FailedTasks, suite.CancelledTasks)
	return nil
}

// numbers yields a task for each number from -10 on. Negative ones have no square root: those tasks fail.
func numbers(yield func(mitosis.NewTask) bool) {
	for number := range tasks {
		if !yield(mitosis.NewTask{Spec: mitosis.TaskSpec{Payload: number - 10}}) {
			return
		}
	}
}
