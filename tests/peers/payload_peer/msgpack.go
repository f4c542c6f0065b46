package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A message, packed by github.com/vmihailenco/msgpack, and what the log is to say of it.
type sample struct {
	Name   string `json:"name"`
	Octets []byte `json:"octets"`
	Value  any    `json:"value"`
}

type object = map[string]any

// One value: how it is packed, and what the log is to say of it.
type value struct {
	pack func(*msgpack.Encoder) error
	says any
}

func samples() []sample {
	return []sample{
		list("integers", integers()),
		list("floats", floats()),
		list("strings", texts()),
		list("binaries", binaries()),
		list("extensions", extensions()),
		list("timestamps", timestamps()),
		one("nested", nested()),
		one("map_of_other_keys", otherKeys()),
		one("deep", deep(60)),
		one("too_deep", deep(66)),
	}
}

func one(name string, single value) sample {
	var octets bytes.Buffer
	if err := single.pack(msgpack.NewEncoder(&octets)); err != nil {
		panic(err)
	}
	return sample{name, octets.Bytes(), single.says}
}

func list(name string, values []value) sample {
	says := make([]any, len(values))
	for i, each := range values {
		says[i] = each.says
	}
	return one(name, value{func(encoder *msgpack.Encoder) error {
		if err := encoder.EncodeArrayLen(len(values)); err != nil {
			return err
		}
		for _, each := range values {
			if err := each.pack(encoder); err != nil {
				return err
			}
		}
		return nil
	}, says})
}

func integers() []value {
	values := []value{}
	for _, number := range []uint64{
		0, 127, 128, 255, 256, 65_535, 65_536, math.MaxUint32, math.MaxUint32 + 1, 1<<53 - 1, 1<<53 + 1,
		math.MaxInt64, math.MaxUint64,
	} {
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeUint(number) }, number})
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeUint64(number) }, number})
	}
	for _, number := range []int64{
		-1, -32, -33, -128, -129, -32_768, -32_769, math.MinInt32, math.MinInt32 - 1, -(1<<53 + 1), math.MinInt64,
	} {
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeInt(number) }, number})
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeInt64(number) }, number})
	}
	return values
}

func floats() []value {
	values := []value{}
	add := func(number float64, says any) {
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeFloat64(number) }, says})
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeFloat32(float32(number)) }, says})
	}
	for _, number := range []float64{0, 0.5, -2.25, 1 << 24, math.Copysign(0, -1)} {
		add(number, number)
	}
	add(math.NaN(), object{"float": "NaN"})
	add(math.Inf(1), object{"float": "Infinity"})
	add(math.Inf(-1), object{"float": "-Infinity"})
	for _, number := range []float64{0.1, 1e300, math.SmallestNonzeroFloat64, math.MaxFloat64} {
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeFloat64(number) }, number})
	}
	single := float32(0.1)
	values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeFloat32(single) }, float64(single)})
	return values
}

func texts() []value {
	values := []value{}
	for _, text := range []string{
		"", "a", "Grüße, 世界 😀", "line\nbreak \x00 \"quoted\"", strings.Repeat("f", 31), strings.Repeat("8", 32),
		strings.Repeat("8", 255), strings.Repeat("é", 200), strings.Repeat("3", 65_536),
	} {
		values = append(values, value{func(to *msgpack.Encoder) error { return to.EncodeString(text) }, text})
	}
	return values
}

func binaries() []value {
	values := []value{}
	for _, count := range []int{0, 1, 255, 256, 65_536} {
		octets := pattern(count)
		// encoding/json writes octets as base64, as the log does.
		values = append(values, value{
			func(to *msgpack.Encoder) error { return to.EncodeBytes(octets) },
			object{"bin": octets},
		})
	}
	return values
}

func extensions() []value {
	values := []value{}
	for _, kind := range []int8{0, 1, 0x62, 0x65, 0x72, 0x74, 0x78, 127, -2, -128} {
		for _, count := range []int{1, 2, 4, 8, 16, 3, 17} {
			values = append(values, extension(kind, pattern(count)))
		}
	}
	return append(values, extension(5, nil), extension(5, pattern(300)), extension(5, pattern(65_536)))
}

func extension(kind int8, data []byte) value {
	return value{func(to *msgpack.Encoder) error {
		if err := to.EncodeExtHeader(kind, len(data)); err != nil {
			return err
		}
		_, err := to.Writer().Write(data)
		return err
	}, object{"ext": kind, "data": append([]byte{}, data...)}}
}

func timestamps() []value {
	values := []value{}
	for _, when := range []struct{ seconds, nanoseconds int64 }{
		{0, 0}, {1_700_000_000, 0}, {math.MaxUint32, 0}, {math.MaxUint32 + 1, 0}, {1_700_000_000, 123_456_789},
		{1<<34 - 1, 999_999_999}, {1 << 34, 1}, {-1, 500_000_000}, {-62_135_596_800, 0},
	} {
		moment := time.Unix(when.seconds, when.nanoseconds)
		values = append(values, value{
			func(to *msgpack.Encoder) error { return to.EncodeTime(moment) },
			object{"ext": -1, "data": timestamp(when.seconds, when.nanoseconds)},
		})
	}
	return values
}

// The three forms of the specification, written down without the library.
func timestamp(seconds, nanoseconds int64) []byte {
	switch {
	case nanoseconds == 0 && seconds>>32 == 0:
		return binary.BigEndian.AppendUint32(nil, uint32(seconds))
	case seconds>>34 == 0:
		return binary.BigEndian.AppendUint64(nil, uint64(nanoseconds)<<34|uint64(seconds))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(nanoseconds)), uint64(seconds))
}

func nested() value {
	plain := object{
		"model": "demo", "stream": true, "none": nil, "negative": int64(-7),
		"messages":  []any{object{"role": "user", "content": "Hello"}, object{}, []any{}},
		"__proto__": "a name like any other",
	}
	return value{func(to *msgpack.Encoder) error {
		to.SetSortMapKeys(true)
		return to.Encode(plain)
	}, plain}
}

func otherKeys() value {
	return value{func(to *msgpack.Encoder) error {
		return to.Encode(map[uint8]string{1: "one"})
	}, object{"map": []any{[]any{1, "one"}}}}
}

// So many arrays within each other, the innermost with nothing in it.
func deep(count int) value {
	says := any([]any{})
	for range count - 1 {
		says = []any{says}
	}
	return value{func(to *msgpack.Encoder) error { return to.Encode(says) }, says}
}

func pattern(count int) []byte {
	data := make([]byte, count)
	for i := range data {
		data[i] = byte(i*31 + (i>>8)*17)
	}
	return data
}
