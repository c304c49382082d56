package rpc

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
)

// Exit codes of the command line.
const (
	ExitOK          = 0 // done
	ExitInternal    = 1 // something broke that the caller cannot mend; the service's log says more
	ExitUsage       = 2 // the command or a value in it is wrong
	ExitNotFound    = 3 // what was named does not exist
	ExitRefused     = 4 // the state of things forbids it: a precondition, a conflict, a duplicate
	ExitNotAllowed  = 5 // no token, a wrong one, or one whose role may not
	ExitUnavailable = 6 // no answer, or too slow a one: try again
	ExitHeld        = 7 // done as far as possible; something waits for a person
	ExitFailed      = 8 // the work was carried out and did not succeed
)

// Exit is an error that chooses its exit code.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string { return e.Err.Error() }
func (e *Exit) Unwrap() error { return e.Err }

// ExitCode of the outcome of a command.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	var exit *Exit
	if errors.As(err, &exit) {
		return exit.Code
	}
	e, ok := ErrorFrom(err)
	if !ok {
		return ExitInternal
	}
	switch e.Code {
	case codes.OK:
		return ExitOK
	case codes.InvalidArgument, codes.OutOfRange:
		return ExitUsage
	case codes.NotFound:
		return ExitNotFound
	case codes.FailedPrecondition, codes.Aborted, codes.AlreadyExists:
		return ExitRefused
	case codes.Unauthenticated, codes.PermissionDenied:
		return ExitNotAllowed
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
		return ExitUnavailable
	default:
		return ExitInternal
	}
}

// Describe writes an error of a call for a person: what happened, to what, what to do next.
func Describe(err error) string {
	e, ok := ErrorFrom(err)
	if !ok {
		return err.Error()
	}
	var text strings.Builder
	text.WriteString(firstNonEmpty(e.Message, e.Code.String()))
	if len(e.Violations) > 1 {
		for _, v := range e.Violations {
			fmt.Fprintf(&text, "\n  %s: %s", v.Field, v.Description)
		}
	}
	for _, p := range e.Preconditions {
		if p.Description != e.Message {
			fmt.Fprintf(&text, "\n  %s: %s", p.Subject, p.Description)
		}
	}
	next := firstNonEmpty(e.Next, defaultNext(e.Code))
	if e.RetryAfter > 0 {
		next = strings.TrimPrefix(fmt.Sprintf("%s (in %s)", firstNonEmpty(next, "try again"), e.RetryAfter), " ")
	}
	if next != "" {
		fmt.Fprintf(&text, "\n→ %s", next)
	}
	return text.String()
}

func defaultNext(code codes.Code) string {
	switch code {
	case codes.Unauthenticated:
		return "give a token: --token, SEATLINE_TOKEN, or --data-dir of a running `seatline up`"
	case codes.PermissionDenied:
		return "use a token whose role allows it"
	case codes.Unavailable:
		return "is the service running, and is its address right? `seatline status` asks all of them"
	case codes.DeadlineExceeded:
		return "try again"
	case codes.Unimplemented:
		return "the service at this address is another one, or older than this command"
	case codes.Internal, codes.Unknown:
		return "the service's log says more"
	default:
		return ""
	}
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
