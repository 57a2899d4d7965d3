package mitosis

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

const (
	// A part is one call, kept until it is answered: so much may have to be sent again.
	maxPartBatches = 50
	maxPartBytes   = 4 * maxBatchBytes
	// Leaves room for what parts and their batches add to it.
	maxStreamRequestID = 80
)

// Stream is any number of tasks for [Client.SubmitTaskStream].
type Stream struct {
	To    Destination
	Tasks iter.Seq[NewTask]
	// RequestID, of at most 80 characters, lets another call with the same tasks store only what is missing. Empty: one
	// is made up, for this call alone.
	RequestID string
}

// SubmitTaskStream stores any number of tasks in order, the fastest way for many, and returns where their UUIDs are: one
// range for each batch.
//
// Tasks are stored in batches of 2,000, each one transaction, and sent in parts of up to 50 batches or 16 MiB. A part is
// kept until it is answered; when the connection breaks, its batches are sent again, and what was stored is not stored
// twice. After an error the first result is what is known to be stored. The position in a field such as
// "tasks[17].task_spec.handler" counts from the first task of all.
//
// Errors: those of [Client.SubmitTask].
func (c *Client) SubmitTaskStream(ctx context.Context, stream Stream) ([]TaskRange, error) {
	if given := len(stream.RequestID); given > maxStreamRequestID {
		return nil, refuse("request_id", "given %d characters; accepts at most %d", given, maxStreamRequestID)
	}
	// Should the iterator panic, no call is left behind.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := &upload{client: c, to: stream.To, requestID: orNew(stream.RequestID)}
	failed := u.addAll(ctx, stream.Tasks)
	// What came before a task that cannot be sent is stored, in whole batches.
	if err := u.sendPart(ctx); failed == nil {
		failed = err
	}
	return u.stored, failed
}

// upload is one run of SubmitTaskStream.
type upload struct {
	client    *Client
	to        Destination
	requestID string

	read   int
	batch  []*mitosisv1.NewTask
	bytes  int
	part   []batchOfPart
	weight int
	parts  int
	stored []TaskRange
}

// batchOfPart is a batch and the place of its first task.
type batchOfPart struct {
	first int
	tasks []*mitosisv1.NewTask
}

func (u *upload) addAll(ctx context.Context, tasks iter.Seq[NewTask]) error {
	for task := range tasks {
		var found violations
		message := encodeNewTask(&found, fmt.Sprintf("tasks[%d]", u.read), task)
		if err := found.err(); err != nil {
			return err
		}
		size := proto.Size(message)
		if len(u.batch) >= defaultBatchSize || len(u.batch) > 0 && u.bytes+size > maxBatchBytes {
			if err := u.endBatch(ctx); err != nil {
				return err
			}
		}
		u.batch = append(u.batch, message)
		u.bytes += size
		u.read++
	}
	return u.endBatch(ctx)
}

// endBatch puts the batch into the part, and sends that when it is full.
func (u *upload) endBatch(ctx context.Context) error {
	if len(u.batch) == 0 {
		return nil
	}
	u.part = append(u.part, batchOfPart{u.read - len(u.batch), u.batch})
	u.weight += u.bytes
	u.batch, u.bytes = nil, 0
	if len(u.part) < maxPartBatches && u.weight+maxBatchBytes <= maxPartBytes {
		return nil
	}
	return u.sendPart(ctx)
}

// sendPart stores the part. What became of a call that broke is not known: its batches are then stored one by one,
// under the names that they have as messages of the stream.
func (u *upload) sendPart(ctx context.Context) error {
	part := u.part
	if len(part) == 0 {
		return nil
	}
	name := fmt.Sprintf("%s.%d", u.requestID, u.parts)
	u.part, u.weight = nil, 0
	u.parts++
	answer, err := u.stream(ctx, name, part)
	if refusal := (*Error)(nil); errors.As(err, &refusal) && refusal.Code == codes.Unavailable {
		return u.storeEach(ctx, name, part)
	}
	if err != nil {
		return shifted(err, part[0].first)
	}
	u.stored = append(u.stored, mapped(answer.GetRanges(), decodeTaskRange)...)
	return nil
}

func (u *upload) stream(
	ctx context.Context, name string, part []batchOfPart,
) (*mitosisv1.SubmitTaskStreamResponse, error) {
	call, err := u.client.tasks.SubmitTaskStream(ctx)
	if err != nil {
		return nil, err
	}
	for _, batch := range part {
		request := &mitosisv1.SubmitTaskStreamRequest{
			GroupName: u.to.groupName, SuiteUuid: u.to.suiteUUID, Tasks: batch.tasks, RequestId: name,
		}
		// When a message cannot be sent, the call has ended; the answer says how.
		if err := call.Send(request); err != nil {
			break
		}
	}
	return call.CloseAndRecv()
}

func (u *upload) storeEach(ctx context.Context, name string, part []batchOfPart) error {
	for number, batch := range part {
		answer, err := u.client.tasks.SubmitTasks(ctx, &mitosisv1.SubmitTasksRequest{
			GroupName: u.to.groupName,
			SuiteUuid: u.to.suiteUUID,
			Tasks:     batch.tasks,
			RequestId: fmt.Sprintf("%s/%d", name, number),
		})
		if err != nil {
			return shifted(err, batch.first)
		}
		uuids := answer.GetTaskUuids()
		u.stored = append(u.stored, TaskRange{FirstTaskUUID: uuids[0], Count: len(uuids)})
	}
	return nil
}
