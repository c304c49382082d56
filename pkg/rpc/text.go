package rpc

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkText refuses a request with text in it that the wire (bytes that are not UTF-8) or PostgreSQL (NUL) does not
// take: such text is somebody's to mend, and no fault of a service.
func checkText(req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	if field := badText(m.ProtoReflect()); field != "" {
		return InvalidArgument(field, "it holds bytes that are not text").Do("take them out: what is sent is UTF-8, without NUL")
	}
	return nil
}

// badText is the path of the first field whose text is none; "" when there is no such field.
func badText(m protoreflect.Message) (path string) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		path = string(field.Name())
		switch {
		case field.IsList():
			for i := range value.List().Len() {
				if inner, bad := badValue(field, value.List().Get(i)); bad {
					path = fmt.Sprintf("%s[%d]%s", path, i, inner)
					return false
				}
			}
		case field.IsMap():
			bad, inner := false, ""
			value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				if inner, bad = badValue(field.MapKey(), key.Value()); !bad {
					inner, bad = badValue(field.MapValue(), value)
				}
				return !bad
			})
			if bad {
				path += inner
				return false
			}
		default:
			if inner, bad := badValue(field, value); bad {
				path += inner
				return false
			}
		}
		path = ""
		return true
	})
	return path
}

// badValue tells whether one value is, or holds, text that is none, and where within it.
func badValue(field protoreflect.FieldDescriptor, value protoreflect.Value) (inner string, bad bool) {
	switch field.Kind() {
	case protoreflect.StringKind:
		return "", strings.ContainsRune(value.String(), 0) || !utf8.ValidString(value.String())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if inner = badText(value.Message()); inner != "" {
			return "." + inner, true
		}
	}
	return "", false
}

// sendText keeps such a request from being sent, where it would be called a fault of the connection.
func sendText(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if err := checkText(req); err != nil {
		return err
	}
	return invoke(ctx, method, req, reply, conn, options...)
}
