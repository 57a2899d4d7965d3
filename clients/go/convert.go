package mitosis

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// enum translates between the documented names of an enum, "RoundRobin", and its numbers. Zero is the empty name.
type enum[E ~string] struct {
	names   map[protoreflect.EnumNumber]E
	numbers map[E]protoreflect.EnumNumber
}

// newEnum reads the names from the contract: CPU_BINDING_ROUND_ROBIN of CpuBinding is "RoundRobin".
func newEnum[E ~string](descriptor protoreflect.EnumDescriptor) enum[E] {
	var prefix strings.Builder
	for i, char := range string(descriptor.Name()) {
		if i > 0 && 'A' <= char && char <= 'Z' {
			prefix.WriteByte('_')
		}
		prefix.WriteString(strings.ToUpper(string(char)))
	}
	prefix.WriteByte('_')
	e := enum[E]{map[protoreflect.EnumNumber]E{}, map[E]protoreflect.EnumNumber{"": 0}}
	for i := range descriptor.Values().Len() {
		value := descriptor.Values().Get(i)
		if value.Number() == 0 {
			continue
		}
		var name strings.Builder
		for word := range strings.SplitSeq(strings.TrimPrefix(string(value.Name()), prefix.String()), "_") {
			name.WriteString(word[:1] + strings.ToLower(word[1:]))
		}
		e.names[value.Number()] = E(name.String())
		e.numbers[E(name.String())] = value.Number()
	}
	return e
}

// decode returns the name; a number that only a newer coordinator knows becomes "Unknown7".
func (e enum[E]) decode(number protoreflect.EnumNumber) E {
	if name, ok := e.names[number]; ok || number == 0 {
		return name
	}
	return E(fmt.Sprintf("Unknown%d", number))
}

// encode returns the number, or notes that there is none.
func (e enum[E]) encode(found *violations, path string, name E) protoreflect.EnumNumber {
	number, ok := e.numbers[name]
	if !ok {
		names := make([]string, 0, len(e.names))
		for _, known := range e.names {
			names = append(names, string(known))
		}
		slices.Sort(names)
		found.add(path, nil, "given %q; accepts one of %s", string(name), strings.Join(names, ", "))
	}
	return number
}

// violations are the fields of one request that cannot be sent.
type violations struct {
	fields []FieldViolation
	cause  error
}

func (v *violations) add(path string, cause error, format string, arguments ...any) {
	v.fields = append(v.fields, FieldViolation{path, fmt.Sprintf(format, arguments...)})
	if v.cause == nil {
		v.cause = cause
	}
}

// err returns what was found, or nil.
func (v *violations) err() error {
	if len(v.fields) == 0 {
		return nil
	}
	return refused(v.fields, v.cause)
}

// join puts a name behind a path that may be empty.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// encodeInt returns the number for the wire. What does not fit becomes the nearest that does, which is outside of what
// any field accepts: the coordinator then refuses it with the field's limits.
func encodeInt(number int) int32 {
	return int32(min(max(number, math.MinInt32), math.MaxInt32))
}

// givenInt returns nil for zero, which means "not given" where the contract accepts no zero, or has it as its default.
func givenInt(number int) *int32 {
	if number == 0 {
		return nil
	}
	return new(encodeInt(number))
}

// optionalInt returns nil for nil.
func optionalInt(number *int) *int32 {
	if number == nil {
		return nil
	}
	return new(encodeInt(*number))
}

// decodeOptionalInt returns nil for nil.
func decodeOptionalInt(number *int32) *int {
	if number == nil {
		return nil
	}
	return new(int(*number))
}

// decodeInts and encodeInts translate lists.
func decodeInts(numbers []int32) []int {
	return mapped(numbers, func(number int32) int { return int(number) })
}

func encodeInts(numbers []int) []int32 { return mapped(numbers, encodeInt) }

// givenSeconds returns nil for zero, which means "not given" where the contract accepts no zero.
func givenSeconds(duration time.Duration) *float64 {
	if duration == 0 {
		return nil
	}
	return new(duration.Seconds())
}

// optionalSeconds returns nil for nil.
func optionalSeconds(duration *time.Duration) *float64 {
	if duration == nil {
		return nil
	}
	return new(duration.Seconds())
}

// wholeSeconds rounds up, so that a short time does not become none; it returns nil for nil.
func wholeSeconds(duration *time.Duration) *int32 {
	if duration == nil {
		return nil
	}
	return new(encodeInt(int(math.Ceil(duration.Seconds()))))
}

// decodeSeconds returns the duration, the longest there is when it does not fit.
func decodeSeconds(seconds float64) time.Duration {
	nanoseconds := math.Round(seconds * float64(time.Second))
	if nanoseconds >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(nanoseconds)
}

// decodeOptionalSeconds returns nil for nil.
func decodeOptionalSeconds(seconds *float64) *time.Duration {
	if seconds == nil {
		return nil
	}
	return new(decodeSeconds(*seconds))
}

// decodeTime returns the zero time for a time that is absent.
func decodeTime(stamp *timestamppb.Timestamp) time.Time {
	if stamp == nil {
		return time.Time{}
	}
	return stamp.AsTime()
}

// encodeJSON returns the document for a value, nil for none.
func encodeJSON(found *violations, path string, value any) *string {
	if value == nil {
		return nil
	}
	document, err := json.Marshal(value)
	if err != nil {
		found.add(path, err, "given a %T that is no JSON value (%v); accepts what encoding/json can marshal", value, err)
		return nil
	}
	return new(string(document))
}

// decodeJSON returns nil for a document that is absent.
func decodeJSON(document *string) json.RawMessage {
	if document == nil {
		return nil
	}
	return json.RawMessage(*document)
}

// unmarshal reads a document into a target; it refuses one that is absent.
func unmarshal(document json.RawMessage, field string, target any) error {
	if document == nil {
		return refuse(field, "given nothing; accepts a JSON document")
	}
	if err := json.Unmarshal(document, target); err != nil {
		return refused([]FieldViolation{{field, err.Error()}}, err)
	}
	return nil
}

// mapped returns nil for an empty list, else what a function makes of each item.
func mapped[From, To any](items []From, convert func(From) To) []To {
	if len(items) == 0 {
		return nil
	}
	made := make([]To, len(items))
	for i, item := range items {
		made[i] = convert(item)
	}
	return made
}
