package mitosis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"time"

	mitosis "github.com/mitosis-project/mitosis/clients/go"
)

// A whole suite: create it, fill it, close it, wait for it.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	connection, err := mitosis.FindConnection()
	if err != nil {
		log.Fatal(err)
	}
	client, err := connection.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	suite, err := client.CreateSuite(ctx, mitosis.SuiteSpec{
		Name:         "square roots",
		GroupName:    "default",
		TaskDefaults: &mitosis.TaskSpec{Handler: "math:isqrt", Timeout: time.Minute},
	})
	if err != nil {
		log.Fatal(err)
	}
	tasks := func(yield func(mitosis.NewTask) bool) {
		for number := range 1000 {
			if !yield(mitosis.NewTask{Spec: mitosis.TaskSpec{Payload: number}}) {
				return
			}
		}
	}
	if _, err := client.SubmitTasks(ctx, mitosis.ToSuite(suite.UUID), tasks); err != nil {
		log.Fatal(err)
	}
	if _, err := client.CloseSuite(ctx, suite.UUID); err != nil {
		log.Fatal(err)
	}
	suite, err = client.WaitForSuite(ctx, suite.UUID, mitosis.OnProgress(func(s *mitosis.Suite) {
		log.Printf("%d of %d", s.TotalTasks-s.PendingTasks, s.TotalTasks)
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(suite.State, suite.CompletedTasks)
}

func ExampleNewClient() {
	certificate, err := tls.LoadX509KeyPair("client.pem", "client-key.pem")
	if err != nil {
		log.Fatal(err)
	}
	client, err := mitosis.NewClient("mitosis.example.org:7070",
		mitosis.WithToken("the token"),
		mitosis.WithClientCertificate(certificate),
		mitosis.WithRetryPolicy(mitosis.RetryPolicy{MaxAttempts: 10, MaxElapsed: 2 * time.Minute}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}

func ExampleError() {
	var client *mitosis.Client // from NewClient

	_, err := client.CreateSuite(context.Background(), mitosis.SuiteSpec{Name: "census", GroupName: "default"})
	var refusal *mitosis.Error
	switch {
	case errors.Is(err, mitosis.ErrUnauthenticated):
		log.Fatal("log in again")
	case errors.As(err, &refusal):
		for _, violation := range refusal.Fields {
			log.Printf("%s: %s", violation.Field, violation.Description)
		}
	}
}

func ExampleClient_ListTasks() {
	var client *mitosis.Client // from NewClient

	filter := mitosis.TaskFilter{SuiteUUID: "0199…", State: mitosis.TaskFailed}
	for task, err := range client.ListTasks(context.Background(), filter) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(task.UUID, task.Result.Error)
	}
}

func ExampleTaskResult_Decode() {
	var client *mitosis.Client // from NewClient

	task, err := client.GetTask(context.Background(), "0199…")
	if err != nil {
		log.Fatal(err)
	}
	var root int
	if err := task.Result.Decode(&root); err != nil {
		log.Fatal(err)
	}
	fmt.Println(root)
}

func ExampleOnBatch() {
	var client *mitosis.Client // from NewClient

	var uuids []string
	_, err := client.SubmitTasks(context.Background(), mitosis.ToGroup("default"),
		func(yield func(mitosis.NewTask) bool) {
			yield(mitosis.NewTask{Spec: mitosis.TaskSpec{Args: []string{"uname", "-a"}}})
		},
		mitosis.OnBatch(func(stored []string) { uuids = append(uuids, stored...) }),
	)
	if err != nil {
		log.Fatal(err)
	}
}
