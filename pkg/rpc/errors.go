package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain of every google.rpc.ErrorInfo that Seatline sends.
const Domain = "seatline"

// Error is an answer that a caller may see: what happened, to what, and what to do next. Handlers
// return it; any other error reaches the caller as Internal, without its text.
type Error struct {
	Code codes.Code
	// Reason for programs, UPPER_SNAKE_CASE, for example "CONNECTION_NOT_FOUND".
	Reason string
	// Message for people: what happened and to what.
	Message string
	// Next says what to do about it; may be empty.
	Next string
	// Violations are the fields of the request that are wrong.
	Violations []Violation
	// Preconditions are what must be otherwise before the request can succeed.
	Preconditions []Precondition
	// RetryAfter is how long to wait before trying again; 0 when waiting does not help.
	RetryAfter time.Duration
	// Metadata for programs, for example {"connection": "demo"}.
	Metadata map[string]string

	cause error
}

// Violation is one wrong field of a request.
type Violation struct{ Field, Description string }

// Precondition is one thing that must be otherwise. Type is stable, for example "ETAG" or "RUN_HELD".
type Precondition struct{ Type, Subject, Description string }

// Errorf makes an Error. A %w in format keeps its cause for errors.Is; the cause's text is then part
// of the message, so it must be fit for the caller.
func Errorf(code codes.Code, reason, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Reason: reason, Message: err.Error(), cause: errors.Unwrap(err)}
}

// NotFound says that what was asked for does not exist, for example NotFound("connection", "demo").
func NotFound(noun, key string) *Error {
	e := Errorf(codes.NotFound, "NOT_FOUND", "%s %q does not exist", noun, key)
	e.Metadata = map[string]string{"noun": noun, "key": key}
	return e
}

// InvalidArgument says that one field of the request is wrong; more are added with Violate.
func InvalidArgument(field, format string, args ...any) *Error {
	description := fmt.Sprintf(format, args...)
	e := Errorf(codes.InvalidArgument, "INVALID_ARGUMENT", "%s: %s", field, description)
	e.Violations = []Violation{{field, description}}
	return e
}

// FailedPrecondition says that the request is well formed but the state of subject forbids it.
func FailedPrecondition(reason, subject, format string, args ...any) *Error {
	e := Errorf(codes.FailedPrecondition, reason, format, args...)
	e.Preconditions = []Precondition{{reason, subject, e.Message}}
	return e
}

// Conflict says that noun key changed since the caller read it.
func Conflict(noun, key string) *Error {
	e := Errorf(codes.Aborted, "CHANGED_MEANWHILE", "%s %q was changed by someone else since it was read", noun, key)
	return e.Do("read it again, look at the difference, and send the change with its new etag")
}

// Unavailable says that trying again after a while may help.
func Unavailable(reason string, after time.Duration, format string, args ...any) *Error {
	e := Errorf(codes.Unavailable, reason, format, args...)
	e.RetryAfter = after
	return e
}

// Do says what to do next.
func (e *Error) Do(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Violate adds one more wrong field.
func (e *Error) Violate(field, format string, args ...any) *Error {
	e.Violations = append(e.Violations, Violation{field, fmt.Sprintf(format, args...)})
	return e
}

// With adds metadata for programs.
func (e *Error) With(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[key] = value
	return e
}

func (e *Error) Error() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}

func (e *Error) Unwrap() error { return e.cause }

// nextKey is where Next travels in the metadata of ErrorInfo.
const nextKey = "next"

// GRPCStatus is how e travels.
func (e *Error) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: Domain, Metadata: map[string]string{}}
	for key, value := range e.Metadata {
		info.Metadata[key] = value
	}
	if e.Next != "" {
		info.Metadata[nextKey] = e.Next
	}
	details := []protoadapt.MessageV1{info}
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		details = append(details, bad)
	}
	if len(e.Preconditions) > 0 {
		failed := &errdetails.PreconditionFailure{}
		for _, p := range e.Preconditions {
			failed.Violations = append(failed.Violations, &errdetails.PreconditionFailure_Violation{Type: p.Type, Subject: p.Subject, Description: p.Description})
		}
		details = append(details, failed)
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	s := status.New(e.Code, e.Message)
	detailed, err := s.WithDetails(details...)
	if err != nil { // Only a code of OK or text that is not UTF-8 can do that; the bare status still says what happened.
		return s
	}
	return detailed
}

// ErrorFrom reads an Error back from what a client call returned. The second result is false when
// err holds no gRPC status. A status that is not ours has no Reason.
func ErrorFrom(err error) (*Error, bool) {
	var own *Error
	if errors.As(err, &own) {
		return own, true
	}
	// Not status.FromError: of a wrapped status that makes "rpc error: code = …" part of the message.
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) || carrier.GRPCStatus() == nil {
		return nil, false
	}
	s := carrier.GRPCStatus()
	e := &Error{Code: s.Code(), Message: s.Message(), cause: err}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = d.GetReason()
			e.Next = d.GetMetadata()[nextKey]
			e.Metadata = d.GetMetadata()
			delete(e.Metadata, nextKey)
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
			}
		case *errdetails.PreconditionFailure:
			for _, p := range d.GetViolations() {
				e.Preconditions = append(e.Preconditions, Precondition{p.GetType(), p.GetSubject(), p.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	return e, true
}

// Reason of an error of a call, "" when it has none.
func Reason(err error) string {
	if e, ok := ErrorFrom(err); ok {
		return e.Reason
	}
	return ""
}

// outward decides what a caller sees of a handler's error. seen is false when its text must stay
// inside and belongs in the log instead.
func outward(err error) (answer error, seen bool) {
	var own *Error
	switch {
	case errors.As(err, &own):
		return own, true
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the call was cancelled"), true
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "the deadline passed before the answer was ready; try again"), true
	}
	// A bare status was chosen by the handler; one wrapped in something else came from a service
	// that this one called, and its refusal is not the caller's.
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok { //nolint:errorlint // wrapped ones are meant to fall through
		return s.GRPCStatus().Err(), true
	}
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable {
		return Unavailable("DEPENDENCY_UNAVAILABLE", time.Second, "another service that this one needs does not answer").Do("try again; if it stays, look at that service with `seatline status`"), false
	}
	return nil, false
}
