package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// personKey is the metadata in which a service says for whom it acts. Binary, because people's names
// are not ASCII.
const personKey = "seatline-person-bin"

// maxPersonName bounds what goes into the change log, in bytes.
const maxPersonName = 200

// person as it travels.
type person struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
}

// ActFor makes calls with the returned context those of a person who is signed in at the calling
// service: the called service's change log names the person, and the person's role decides what they
// may do. Only a caller whose own role is service may act for others; see Caller.Via for the far side.
// Services are one circle of trust: the far side takes the caller's word for who the person is.
func ActFor(ctx context.Context, name string, role Role) (context.Context, error) {
	p := person{name, role}
	if err := p.check(); err != nil {
		return nil, Errorf(codes.Internal, "PERSON_INVALID", "act for %q: %w", name, err)
	}
	value, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, personKey, string(value)), nil
}

// check refuses a role that is no person's: nobody gets at secrets by acting for a service.
func (p person) check() error {
	switch {
	case p.Name == "" || len(p.Name) > maxPersonName || !utf8.ValidString(p.Name):
		return errors.New("a person has a name of 1 to 200 bytes")
	case p.Role != RoleViewer && p.Role != RoleOperator:
		return errors.New("a person is a viewer or an operator")
	}
	return nil
}

// represented is the person for whom caller acts, or caller when it acts for itself.
func represented(ctx context.Context, caller Caller) (Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get(personKey)
	if len(values) == 0 {
		return caller, nil
	}
	if caller.Role != RoleService {
		return Caller{}, Errorf(codes.PermissionDenied, "ACTING_FORBIDDEN", "%s has the role %s and may not act for others", caller.Name, caller.Role).
			Do("call with a token of the role service, or leave the person out and act in your own name")
	}
	var p person
	// Two persons would be one too many: whichever is taken, the other's deeds are put down to them.
	if len(values) > 1 || json.Unmarshal([]byte(values[0]), &p) != nil || p.check() != nil {
		return Caller{}, Errorf(codes.InvalidArgument, "PERSON_INVALID", "the call does not say for which one viewer or operator %s acts", caller.Name)
	}
	return Caller{Name: p.Name, Role: p.Role, Via: caller.Name}, nil
}
