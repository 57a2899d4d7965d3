package mitosis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"strings"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// TaskRange is tasks whose UUIDs count up by one.
type TaskRange struct {
	FirstTaskUUID string
	Count         int
}

func decodeTaskRange(tasks *mitosisv1.TaskRange) TaskRange {
	return TaskRange{FirstTaskUUID: tasks.GetFirstTaskUuid(), Count: int(tasks.GetCount())}
}

// UUIDs yields the UUIDs in the order of the tasks; it yields nothing when FirstTaskUUID is none.
func (r TaskRange) UUIDs() iter.Seq[string] {
	return func(yield func(string) bool) {
		number, err := hex.DecodeString(strings.ReplaceAll(r.FirstTaskUUID, "-", ""))
		if err != nil || len(number) != 16 {
			return
		}
		high, low := binary.BigEndian.Uint64(number), binary.BigEndian.Uint64(number[8:])
		for range r.Count {
			binary.BigEndian.PutUint64(number, high)
			binary.BigEndian.PutUint64(number[8:], low)
			digits := hex.EncodeToString(number)
			uuid := strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
			if !yield(uuid) {
				return
			}
			if low == math.MaxUint64 {
				high++
			}
			low++
		}
	}
}

// Payloads are the payloads of an array, one for each task: see [PayloadRange] and [PayloadList].
type Payloads struct {
	encode func(*violations, *mitosisv1.SubmitArrayRequest)
}

// PayloadRange is the whole numbers from start up to, not including, stop; downwards when step is negative. The
// coordinator keeps them as one row, however many there are.
func PayloadRange(start, stop, step int64) Payloads {
	return Payloads{func(_ *violations, request *mitosisv1.SubmitArrayRequest) {
		numbers := &mitosisv1.PayloadRange{Start: start, Stop: stop, Step: &step}
		request.Items = &mitosisv1.SubmitArrayRequest_Range{Range: numbers}
	}}
}

// PayloadList is up to 10,000 values, each marshalled to JSON.
func PayloadList[Value any](values ...Value) Payloads {
	return Payloads{func(found *violations, request *mitosisv1.SubmitArrayRequest) {
		list := &mitosisv1.PayloadList{Payloads: make([]string, 0, len(values))}
		for i, value := range values {
			document := "null"
			if encoded := encodeJSON(found, fmt.Sprintf("list.payloads[%d]", i), value); encoded != nil {
				document = *encoded
			}
			list.Payloads = append(list.Payloads, document)
		}
		request.Items = &mitosisv1.SubmitArrayRequest_List{List: list}
	}}
}

// Array is tasks of a suite that differ in their payload only.
type Array struct {
	SuiteUUID string
	// Spec is what every task runs, without a payload.
	Spec     TaskSpec
	Payloads Payloads
	// Priority is the place within the suite: higher goes first.
	Priority int
	// RequestID makes the call repeatable across programs; empty: one is made up, for this call alone.
	RequestID string
}

// SubmitArray stores an array of tasks by one call and returns where their UUIDs are; a call that is repeated cannot
// store it twice.
//
// Errors: those of [Client.SubmitTask].
func (c *Client) SubmitArray(ctx context.Context, array Array) (TaskRange, error) {
	var found violations
	request := &mitosisv1.SubmitArrayRequest{
		SuiteUuid: array.SuiteUUID,
		TaskSpec:  encodeTaskSpec(&found, "task_spec", array.Spec),
		Priority:  givenInt(array.Priority),
		RequestId: orNew(array.RequestID),
	}
	if array.Payloads.encode != nil {
		array.Payloads.encode(&found, request)
	}
	if err := found.err(); err != nil {
		return TaskRange{}, err
	}
	answer, err := c.tasks.SubmitArray(ctx, request)
	if err != nil {
		return TaskRange{}, err
	}
	return decodeTaskRange(answer.GetTasks()), nil
}
