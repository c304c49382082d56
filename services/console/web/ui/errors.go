package ui

import (
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
)

// ErrorNotice tells a person of an error of a call: what happened, to what, and what to do.
func ErrorNotice(err error) *Notice {
	e, ok := rpc.ErrorFrom(err)
	if !ok {
		return &Notice{Tone: Bad, Title: "That did not work", Text: "Something broke on our side; the console's log says more.", Next: "Try again. If it stays, tell whoever runs Seatline."}
	}
	n := &Notice{Tone: Bad, Title: title(e.Code), Text: e.Message, Next: e.Next}
	if len(e.Violations) > 1 {
		for _, v := range e.Violations {
			n.Items = append(n.Items, v.Field+": "+v.Description)
		}
	}
	for _, p := range e.Preconditions {
		if p.Description != e.Message {
			n.Items = append(n.Items, p.Subject+": "+p.Description)
		}
	}
	if n.Next == "" {
		n.Next = next(e.Code)
	}
	if e.RetryAfter > 0 {
		n.Next += " Wait " + Span(e.RetryAfter) + " first."
	}
	if e.Reason == "" && e.Code == codes.Unavailable { // gRPC's own words are about sockets
		n.Text = "One of Seatline's services does not answer."
	}
	return n
}

func title(code codes.Code) string {
	switch code {
	case codes.InvalidArgument, codes.OutOfRange:
		return "That is not right yet"
	case codes.NotFound:
		return "Not found"
	case codes.FailedPrecondition, codes.AlreadyExists:
		return "That cannot be done as things stand"
	case codes.Aborted:
		return "Someone else changed this meanwhile"
	case codes.PermissionDenied, codes.Unauthenticated:
		return "Not allowed"
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
		return "No answer"
	default:
		return "That did not work"
	}
}

func next(code codes.Code) string {
	switch code {
	case codes.NotFound:
		return "It may have been removed meanwhile: go back and look again."
	case codes.Aborted:
		return "Reload the page, look at what is different now, and make your change again."
	case codes.PermissionDenied:
		return "Ask an operator to do it, or to give you the role."
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
		return "Reload the page in a moment. If it stays, look at that service's log."
	case codes.Unimplemented:
		return "The service is older than this console: update it."
	case codes.Internal, codes.Unknown:
		return "Try again. If it stays, the service's log says more."
	default:
		return ""
	}
}
