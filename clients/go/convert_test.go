package mitosis

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// decoders hold one function for every message that becomes a struct.
var decoders = map[string]struct {
	message proto.Message
	decode  func(proto.Message) any
}{
	"TaskSuite": {&mitosisv1.TaskSuite{}, func(m proto.Message) any { return decodeSuite(m.(*mitosisv1.TaskSuite)) }},
	"WorkerSchedulePlan": {&mitosisv1.WorkerSchedulePlan{}, func(m proto.Message) any {
		return decodeWorkerSchedule(m.(*mitosisv1.WorkerSchedulePlan))
	}},
	"EnvHookSpec": {&mitosisv1.EnvHookSpec{}, func(m proto.Message) any { return decodeHook(m.(*mitosisv1.EnvHookSpec)) }},
	"HookRun":     {&mitosisv1.HookRun{}, func(m proto.Message) any { return decodeHookRun(m.(*mitosisv1.HookRun)) }},
	"EligibleManager": {&mitosisv1.EligibleManager{}, func(m proto.Message) any {
		return decodeEligibleManager(m.(*mitosisv1.EligibleManager))
	}},
	"SuiteAssignment": {&mitosisv1.SuiteAssignment{}, func(m proto.Message) any {
		return decodeSuiteAssignment(m.(*mitosisv1.SuiteAssignment))
	}},
	"Task":        {&mitosisv1.Task{}, func(m proto.Message) any { return decodeTask(m.(*mitosisv1.Task)) }},
	"TaskSpec":    {&mitosisv1.TaskSpec{}, func(m proto.Message) any { return decodeTaskSpec(m.(*mitosisv1.TaskSpec)) }},
	"TaskResult":  {&mitosisv1.TaskResult{}, func(m proto.Message) any { return decodeTaskResult(m.(*mitosisv1.TaskResult)) }},
	"TaskFailure": {&mitosisv1.TaskFailure{}, func(m proto.Message) any { return decodeTaskFailure(m.(*mitosisv1.TaskFailure)) }},
	"NodeManager": {&mitosisv1.NodeManager{}, func(m proto.Message) any { return decodeManager(m.(*mitosisv1.NodeManager)) }},
	"ManagerMetrics": {&mitosisv1.ManagerMetrics{}, func(m proto.Message) any {
		return decodeManagerMetrics(m.(*mitosisv1.ManagerMetrics))
	}},
	"GroupMembership": {&mitosisv1.GroupMembership{}, func(m proto.Message) any {
		return decodeManagerMembership(m.(*mitosisv1.GroupMembership))
	}},
	"Obstacle": {&mitosisv1.Obstacle{}, func(m proto.Message) any { return decodeObstacle(m.(*mitosisv1.Obstacle)) }},
	"Explanation": {&mitosisv1.Explanation{}, func(m proto.Message) any {
		return decodeExplanation(m.(*mitosisv1.Explanation))
	}},
	"Worker": {&mitosisv1.Worker{}, func(m proto.Message) any { return decodeWorker(m.(*mitosisv1.Worker)) }},
	"User":   {&mitosisv1.User{}, func(m proto.Message) any { return decodeUser(m.(*mitosisv1.User)) }},
	"UserMembership": {&mitosisv1.UserMembership{}, func(m proto.Message) any {
		return decodeUserMembership(m.(*mitosisv1.UserMembership))
	}},
	"Group":       {&mitosisv1.Group{}, func(m proto.Message) any { return decodeGroup(m.(*mitosisv1.Group)) }},
	"GroupMember": {&mitosisv1.GroupMember{}, func(m proto.Message) any { return decodeGroupMember(m.(*mitosisv1.GroupMember)) }},
}

// set gives a field a value that is not its default.
func set(message protoreflect.Message, field protoreflect.FieldDescriptor) {
	switch {
	case field.IsMap():
		entry := message.Mutable(field).Map()
		entry.Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString("v"))
	case field.IsList() && field.Message() != nil:
		message.Mutable(field).List().AppendMutable()
	case field.IsList():
		message.Mutable(field).List().Append(scalar(field))
	case field.Message() != nil && field.Message().FullName() == "google.protobuf.Timestamp":
		seconds := field.Message().Fields().ByName("seconds")
		message.Mutable(field).Message().Set(seconds, protoreflect.ValueOfInt64(1_700_000_000))
	case field.Message() != nil:
		message.Mutable(field)
	default:
		message.Set(field, scalar(field))
	}
}

func scalar(field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("7")
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(7)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1.5)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	}
	panic("no value for " + field.Kind().String())
}

func TestEveryFieldOfAnAnswerArrives(t *testing.T) {
	for name, row := range decoders {
		empty := row.decode(row.message)
		fields := row.message.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			message := row.message.ProtoReflect().New()
			set(message, fields.Get(i))
			if reflect.DeepEqual(row.decode(message.Interface()), empty) {
				t.Errorf("%s.%s is lost", name, fields.Get(i).Name())
			}
		}
	}
}

// fill gives every field of a struct a value that is not its default.
func fill(value reflect.Value) {
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			fill(value.Field(i))
		}
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		fill(value.Elem())
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		fill(value.Index(0))
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		value.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf("v"))
	case reflect.Interface:
		value.Set(reflect.ValueOf(7))
	case reflect.Int, reflect.Int64:
		value.SetInt(7)
	case reflect.Bool:
		value.SetBool(true)
	case reflect.String:
		names := map[reflect.Type]string{
			reflect.TypeFor[SuiteState]():     string(SuiteFailed),
			reflect.TypeFor[TaskState]():      string(TaskFailed),
			reflect.TypeFor[ManagerState]():   string(ManagerFailed),
			reflect.TypeFor[WorkerState]():    string(WorkerBusy),
			reflect.TypeFor[ManagerRole]():    string(ManagerRoleAdmin),
			reflect.TypeFor[WorkerStrategy](): string(StrategyProportional),
			reflect.TypeFor[CPUBinding]():     string(BindingShared),
		}
		if name, ok := names[value.Type()]; ok {
			value.SetString(name)
		} else {
			value.SetString("7")
		}
	default:
		panic("no value for " + value.Kind().String())
	}
}

// absent returns the paths of the fields that are not set.
func absent(message protoreflect.Message, path string) []string {
	var missing []string
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		here := path + "." + string(field.Name())
		switch {
		case !message.Has(field):
			missing = append(missing, here)
		case field.Message() != nil && !field.IsList() && !field.IsMap():
			missing = append(missing, absent(message.Get(field).Message(), here)...)
		case field.Message() != nil && field.IsList():
			missing = append(missing, absent(message.Get(field).List().Get(0).Message(), here)...)
		}
	}
	return missing
}

// encoded fills a struct and returns the fields that its message lacks.
func encoded[Spec any, Message proto.Message](t *testing.T, encode func(Spec) (Message, error)) []string {
	t.Helper()
	var spec Spec
	fill(reflect.ValueOf(&spec).Elem())
	message, err := encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	return absent(message.ProtoReflect(), reflect.TypeFor[Spec]().Name())
}

func TestEveryFieldOfARequestIsSent(t *testing.T) {
	missing := slices.Concat(
		encoded(t, encodeSuiteSpec),
		encoded(t, encodeSuiteChanges),
		encoded(t, encodeSuiteFilter),
		encoded(t, func(task NewTask) (*mitosisv1.SubmitTaskRequest, error) {
			return encodeSubmission(Destination{"s", "g"}, task)
		}),
		encoded(t, encodeTaskFilter),
		encoded(t, encodeManagerSpec),
		encoded(t, encodeManagerFilter),
		encoded(t, encodeWorkerFilter),
	)
	// These come from elsewhere than the struct.
	want := []string{
		"SuiteChanges.uuid", "SuiteFilter.page_token", "TaskFilter.page_token", "ManagerFilter.page_token",
		"WorkerFilter.page_token",
	}
	if !slices.Equal(missing, want) {
		t.Errorf("not sent: %v, want %v", missing, want)
	}
}

func TestWhatIsNotGivenIsNotSent(t *testing.T) {
	request, err := encodeSuiteSpec(SuiteSpec{RequestID: "r", WorkerSchedule: &WorkerSchedule{}, TaskDefaults: &TaskSpec{}})
	want := &mitosisv1.CreateSuiteRequest{
		RequestId: "r", WorkerSchedule: &mitosisv1.WorkerSchedulePlan{}, TaskDefaults: &mitosisv1.TaskSpec{},
	}
	if err != nil || !proto.Equal(request, want) {
		t.Errorf("got %v, %v", request, err)
	}
	changes, err := encodeSuiteChanges(SuiteChanges{Labels: []string{}, Priority: new(0), AutoCloseTimeout: new(time.Duration)})
	wanted := &mitosisv1.UpdateSuiteRequest{
		Labels: &mitosisv1.LabelList{}, Priority: new(int32(0)), AutoCloseTimeoutSeconds: new(int32(0)),
	}
	if err != nil || !proto.Equal(changes, wanted) {
		t.Errorf("got %v, %v", changes, err)
	}
}

func TestTheNamesOfEnumsAreTheDocumentedOnes(t *testing.T) {
	for _, test := range []struct{ got, want any }{
		{cpuBindings.decode(1), BindingRoundRobin},
		{managerSelections.decode(2), SelectionUserSpecified},
		{suiteStates.decode(0), SuiteState("")},
		{suiteStates.decode(77), SuiteState("Unknown77")},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	for _, name := range []string{
		string(TaskReady), string(TaskDispatched), string(TaskRunning), string(TaskCompleted), string(TaskFailed), string(TaskCancelled),
	} {
		if _, ok := taskStates.numbers[TaskState(name)]; !ok {
			t.Errorf("the contract has no %s", name)
		}
	}
	if len(taskStates.names) != 6 || len(suiteStates.names) != 6 || len(managerStates.names) != 7 || len(workerStates.names) != 3 ||
		len(failureKinds.names) != 4 || len(hookTypes.names) != 2 || len(hookResults.names) != 4 ||
		len(groupRoles.names) != 3 || len(managerRoles.names) != 2 || len(workerStrategies.names) != 2 ||
		len(cpuBindings.names) != 3 || len(managerSelections.names) != 2 {
		t.Error("the contract has more names than this package has constants")
	}
}

func TestNumbersThatDoNotFitBecomeTheNearest(t *testing.T) {
	if encodeInt(math.MaxInt) != math.MaxInt32 || encodeInt(math.MinInt) != math.MinInt32 || encodeInt(-5) != -5 {
		t.Error("integers")
	}
	if decodeSeconds(1e300) != math.MaxInt64 || decodeSeconds(0.1) != 100*time.Millisecond {
		t.Error("durations")
	}
	if got := *wholeSeconds(new(1100 * time.Millisecond)); got != 2 {
		t.Errorf("1.1 s became %d s", got)
	}
}

func TestPayloadsAndReturnValuesAreJSON(t *testing.T) {
	type point struct{ X, Y int }
	var found violations
	sent := encodeTaskSpec(&found, "", TaskSpec{Payload: point{1, 2}})
	if sent.GetPayload() != `{"X":1,"Y":2}` {
		t.Errorf("sent %s", sent.GetPayload())
	}
	// What came from the coordinator can be sent again as it is.
	again := encodeTaskSpec(&found, "", *decodeTaskSpec(sent))
	if !proto.Equal(sent, again) || found.err() != nil {
		t.Errorf("got %v, %v", again, found.err())
	}
	var back point
	if err := decodeTaskSpec(sent).DecodePayload(&back); err != nil || back != (point{1, 2}) {
		t.Errorf("got %v, %v", back, err)
	}
	result := TaskResult{ReturnValue: json.RawMessage(`{"X":3}`)}
	if err := result.Decode(&back); err != nil || back.X != 3 {
		t.Errorf("got %v, %v", back, err)
	}
	var number int
	err := result.Decode(&number)
	var mismatch *json.UnmarshalTypeError
	if !errors.Is(err, ErrInvalidField) || !errors.As(err, &mismatch) {
		t.Errorf("got %v", err)
	}
	if err := (&TaskResult{}).Decode(&number); !errors.Is(err, ErrInvalidField) {
		t.Errorf("got %v", err)
	}
	if err := (&TaskSpec{}).DecodePayload(&number); !errors.Is(err, ErrInvalidField) {
		t.Errorf("got %v", err)
	}
}
