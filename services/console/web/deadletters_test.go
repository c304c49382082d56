package web

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/overview"
)

// heap is the dead letters of one service.
type heap struct {
	opsv1.UnimplementedOpsServiceServer
	letters []*opsv1.DeadLetter
	refuse  string // why it refuses again
	down    bool
	who     rpc.Caller
	filter  string
}

func (h *heap) ListDeadLetters(_ context.Context, req *opsv1.ListDeadLettersRequest) (*opsv1.ListDeadLettersResponse, error) {
	if h.down {
		return nil, rpc.Unavailable("DOWN", time.Second, "down")
	}
	resp := &opsv1.ListDeadLettersResponse{}
	if id, ok := strings.CutPrefix(req.GetFilter(), "id = "); ok {
		for _, x := range h.letters {
			if quote(x.GetId()) == id {
				resp.DeadLetters = append(resp.DeadLetters, x)
			}
		}
		return resp, nil
	}
	h.filter = req.GetFilter()
	all := h.letters
	if req.GetPageToken() == "second" {
		all = all[pageSize:]
	} else if len(all) > pageSize {
		all, resp.NextPageToken = all[:pageSize], "second"
	}
	resp.DeadLetters = all
	return resp, nil
}

func (h *heap) RedriveDeadLetter(ctx context.Context, req *opsv1.DeadLetterRequest) (*opsv1.DeadLetterResponse, error) {
	if h.refuse != "" {
		h.letters[0].Reason = h.refuse
		return nil, rpc.FailedPrecondition("redrive_refused", req.GetId(), "the message was refused again: %s", h.refuse).Do("mend its cause, or discard the message")
	}
	return h.DiscardDeadLetter(ctx, req)
}

func (h *heap) DiscardDeadLetter(ctx context.Context, _ *opsv1.DeadLetterRequest) (*opsv1.DeadLetterResponse, error) {
	h.who, h.letters = rpc.CallerFrom(ctx), h.letters[1:]
	return &opsv1.DeadLetterResponse{}, nil
}

func deadLetter(id, key, why string) *opsv1.DeadLetter {
	return &opsv1.DeadLetter{Id: id, Key: key, Connection: "acme", Type: "seatline.licence.changed.v1", Subject: "seatline.state.acme.licence", Reason: why, Time: stamp("2026-11-23T14:00:00Z")}
}

// startHeaps with one for each service but the console, which has connections as well.
func startHeaps(t *testing.T) (*site, map[string]*heap) {
	t.Helper()
	heaps := map[string]*heap{"console": {}, "fetcher": {}, "mapper": {}, "licence": {}, "billing": {}}
	console := serveGRPC(t, func(r grpc.ServiceRegistrar) {
		connectionv1.RegisterConnectionServiceServer(r, &services{connections: []*connectionv1.Connection{{Slug: "acme", Enabled: true}}})
		opsv1.RegisterOpsServiceServer(r, heaps["console"])
	})
	return start(t, func(c *Config) {
		c.Services = overview.Services{Console: console, Fetcher: serveOps(t, heaps["fetcher"]), Mapper: serveOps(t, heaps["mapper"]), Licence: serveOps(t, heaps["licence"]), Billing: serveOps(t, heaps["billing"])}
	}), heaps
}

func TestDeadLettersOfAllServicesAreOnOnePage(t *testing.T) {
	s, heaps := startHeaps(t)
	p, viewer := s.enter(t, "olga", rpc.RoleOperator), s.enter(t, "vera", rpc.RoleViewer)
	p.get("/dead-letters").tells(t, "the page without any", "No dead letters")
	heaps["mapper"].letters = []*opsv1.DeadLetter{deadLetter("m1", awkward, "no mapping for "+awkward)}
	for range pageSize + 1 {
		heaps["billing"].letters = append(heaps["billing"].letters, deadLetter("b1", "giacom/first", "quantity is no number"))
	}
	heaps["billing"].letters[pageSize] = deadLetter("b2", "giacom/last", "quantity is no number")
	r := p.get("/dead-letters")
	r.tells(t, "the page", ">Mapper<", ">Billing<", "no mapping for O&#39;Neill", "quantity is no number", "/dead-letters/mapper/m1?as=redrive", "/dead-letters/mapper/m1?as=discard", `href="/dead-letters"`)
	if strings.Contains(r.body, "giacom/last") || strings.Contains(r.body, ">Fetcher</h2>") {
		t.Error("more is shown than a page of each, or a service that has none")
	}
	p.get("/dead-letters?service=billing&page=second").tells(t, "the second page", "giacom/last")
	next := nextPage.FindStringSubmatch(r.body)
	if next == nil || strings.ReplaceAll(next[1], "&amp;", "&") != "/dead-letters?page=second&service=billing" {
		t.Errorf("the next page is %q", next)
	}
	if r := p.get("/dead-letters?service=mapper&q=quantity&connection=acme"); strings.Contains(r.body, "giacom/") || heaps["mapper"].filter != `("quantity") AND (connection = "acme")` {
		t.Errorf("narrowed to one service by %s", heaps["mapper"].filter)
	}
	if r := viewer.get("/dead-letters"); r.status != http.StatusOK || strings.Contains(r.body, "as=discard") || !strings.Contains(r.body, "quantity is no number") {
		t.Errorf("a viewer: answers %d", r.status)
	}
	if r := viewer.get("/dead-letters/mapper/m1?as=discard"); r.status != http.StatusForbidden {
		t.Errorf("a viewer is asked: answers %d", r.status)
	}
	heaps["mapper"].down = true
	p.get("/dead-letters").tells(t, "without one service", "No answer from: mapper", "quantity is no number")
}

func TestADeadLetterIsDecidedOn(t *testing.T) {
	s, heaps := startHeaps(t)
	p := s.enter(t, "olga", rpc.RoleOperator)
	h := heaps["licence"]
	h.letters, h.refuse = []*opsv1.DeadLetter{deadLetter("l1", awkward, "no price"), deadLetter("l2", "giacom/2", "no price")}, "still no price"
	const one = "/dead-letters/licence/l1"
	p.get(one+"?as=redrive").tells(t, "the question", "Redrive this message?", "no price", "seatline.licence.changed.v1")
	r := p.post(one, one+"?as=redrive", "as", "redrive")
	if r.tells(t, "refused again", "refused again: still no price", "Redrive this message?"); r.status != http.StatusConflict || len(h.letters) != 2 {
		t.Errorf("refused again: answers %d", r.status)
	}
	h.refuse = ""
	if r := p.post(one, one+"?as=redrive", "as", "redrive"); r.to != "/dead-letters" || len(h.letters) != 1 || h.who.Name != "olga" {
		t.Errorf("redriven: answers %d by %+v: %s", r.status, h.who, r.body)
	}
	p.get("/dead-letters").tells(t, "the list after it", "The message was digested.")
	if r := p.get(one + "?as=redrive"); r.status != http.StatusNotFound || !strings.Contains(r.body, "look at the list again") {
		t.Errorf("one that is gone: answers %d", r.status)
	}
	const other = "/dead-letters/licence/l2"
	p.get(other+"?as=discard").tells(t, "the question", "Discard this message?", "It cannot be brought back.")
	if r := p.post(other, other+"?as=discard", "as", "burn"); r.status != http.StatusUnprocessableEntity || len(h.letters) != 1 {
		t.Errorf("neither: answers %d", r.status)
	}
	if r := p.post(other, other+"?as=discard", "as", "discard"); r.to != "/dead-letters" || len(h.letters) != 0 {
		t.Errorf("discarded: answers %d: %s", r.status, r.body)
	}
	if r := p.get("/dead-letters/post-office/l2"); r.status != http.StatusNotFound {
		t.Errorf("a service that does not exist: answers %d", r.status)
	}
}
