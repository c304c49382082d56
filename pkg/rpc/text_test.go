package rpc

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

func TestTheFieldWhoseTextIsNoneIsNamed(t *testing.T) {
	for want, req := range map[string]proto.Message{
		"":                         &mappingv1.ImportMappingsRequest{Connection: "acme", Csv: []byte("a\x00\xff"), Rows: []*mappingv1.ImportRow{{MexId: "Zoë 🦷"}}},
		"connection":               &mappingv1.ImportMappingsRequest{Connection: "ac\x00me"},
		"search":                   &intyv1.ListPairsRequest{Connection: "acme", Search: "\xff"},
		"rows[1].mex_id":           &mappingv1.ImportMappingsRequest{Rows: []*mappingv1.ImportRow{{MexId: "M1"}, {MexId: "M\x00"}}},
		"connection.halo.base_url": &connectionv1.ApplyConnectionRequest{Connection: &connectionv1.Connection{Halo: &connectionv1.Halo{BaseUrl: "https://\x00"}}},
	} {
		got := ""
		if e, ok := ErrorFrom(checkText(req)); ok {
			got = e.Violations[0].Field
		}
		if got != want {
			t.Errorf("%v: the field is %q, want %q", req, got, want)
		}
	}
}

// Text that no database takes is the caller's to mend, whether the caller checks it or the service does.
func TestTextThatIsNoneReachesNoHandler(t *testing.T) {
	addr, log, _ := serve(t, Config{Tokens: tokens()}, func(context.Context) (*connectionv1.Connection, error) {
		return nil, errors.New("handled")
	})
	elsewhere, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(bearer(viewerToken)))
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	ours := dial(t, Endpoint{Addr: addr, Token: viewerToken})
	for conn, slugs := range map[*grpc.ClientConn][]string{elsewhere: {"ac\x00me"}, ours: {"ac\x00me", "ac\xffme"}} {
		for _, slug := range slugs {
			_, err := connectionv1.NewConnectionServiceClient(conn).GetConnection(t.Context(), &connectionv1.GetConnectionRequest{Slug: slug})
			if e, ok := ErrorFrom(err); !ok || e.Code != codes.InvalidArgument || len(e.Violations) != 1 || e.Violations[0].Field != "slug" {
				t.Errorf("%q: %v", slug, err)
			}
		}
	}
	if log.text() != "" {
		t.Errorf("logged: %s", log.text())
	}
}
