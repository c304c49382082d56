package giacom

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// v2 in the shape of Giacom's TM Forum API: token address, hosts and query style are [F-1], written up for broadband and
// telephony only; that licences are services of it is [G].

// Paths of v2 [G].
const (
	organisationPath = "organization"
	servicePath      = "service"
)

// organizationRow is TMF632-like [G].
type organizationRow struct {
	ID          text `json:"id"`
	Name        text `json:"name"`
	TradingName text `json:"tradingName"`
	Status      text `json:"status"`
}

func (c *Client) organisations(ctx context.Context, customer func(Customer) error) (Pull, error) {
	return c.pull(ctx, feed{path: organisationPath, row: func(dec *json.Decoder, t *tally) error {
		var r organizationRow
		if err := decode(dec, &r); err != nil {
			return err
		}
		got := Customer{MexID: mexID(r.ID), Name: first(r.Name, r.TradingName), Status: r.Status.trim()}
		if got.MexID == "" {
			t.noID++
			return nil
		}
		t.saw(got.MexID)
		return caller(customer(got))
	}})
}

// serviceRow is TMF638-like [G].
type serviceRow struct {
	ID           text `json:"id"`
	Name         text `json:"name"`
	Category     text `json:"category"`
	State        text `json:"state"`
	StartDate    text `json:"startDate"`
	EndDate      text `json:"endDate"`
	RelatedParty []struct {
		ID   text `json:"id"`
		Role text `json:"role"`
		Name text `json:"name"`
	} `json:"relatedParty"`
	Characteristics []characteristic `json:"serviceCharacteristic"`
}

type characteristic struct {
	Name  text            `json:"name"`
	Value json.RawMessage `json:"value"`
}

// text is the value, which is sometimes wrapped once more: {"value":{"value":12}} [F-1].
func (c characteristic) text() text {
	var wrapped struct {
		Value json.RawMessage `json:"value"`
	}
	if json.Unmarshal(c.Value, &wrapped) == nil && wrapped.Value != nil {
		return text(scalar(wrapped.Value))
	}
	return text(scalar(c.Value))
}

func (r serviceRow) subscription() Subscription {
	s := Subscription{Space: SpaceGiacom, ID: r.ID.trim(), Name: r.Name.trim(), Status: r.State.trim()}
	for _, party := range r.RelatedParty {
		if role := party.Role.trim(); role == "" || strings.EqualFold(role, "customer") {
			s.MexID, s.CustomerName = mexID(party.ID), party.Name.trim()
			break
		}
	}
	for _, c := range r.Characteristics {
		switch strings.ToLower(c.Name.trim()) {
		case "quantity":
			s.Quantity = s.number("quantity", c.text())
		case "unitcost":
			s.Price = s.number("unitCost", c.text())
		case "unitprice":
			s.RRP = s.number("unitPrice", c.text())
		case "billingcycle":
			s.Cycle = c.text().trim()
		case "termduration":
			s.Term = c.text().trim()
		case "offerid", "productid":
			s.SKU = c.text().trim()
		case "tenantid":
			s.TenantID = c.text().trim()
		case "currency":
			s.Currency = currency(c.text())
		}
	}
	s.Microsoft = LooksMicrosoft(s.Name, "", s.SKU)
	s.dates(r.StartDate, r.EndDate, "", "")
	return s
}

func (c *Client) services(ctx context.Context, subscription func(Subscription) error) (Pull, error) {
	return c.pull(ctx, feed{path: servicePath, row: func(dec *json.Decoder, t *tally) error {
		var r serviceRow
		if err := decode(dec, &r); err != nil {
			return err
		}
		return hand(r.subscription(), t, subscription)
	}})
}

func (c *Client) usesToken() bool { return c.cfg.Version == V2 && c.cfg.ClientID != "" }

// tokenSource keeps the OAuth token of the client-credentials grant.
type tokenSource struct {
	client *Client
	mu     sync.Mutex
	token  string
	until  time.Time
}

// get answers with a token that is good for at least another minute, a new one if fresh.
func (s *tokenSource) get(ctx context.Context, fresh bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.client.cfg
	if !fresh && s.token != "" && cfg.Clock.Now().Before(s.until) {
		return s.token, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {cfg.Scope}}.Encode()
	resp, cancel, err := s.client.send(ctx, http.MethodPost, cfg.AuthURL, form, url.UserPassword(cfg.ClientID, cfg.Key.Reveal()))
	if err != nil {
		return "", err
	}
	defer cancel()
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		e := fromResponse(redactURL(cfg.AuthURL), resp, body, cfg.Clock.Now())
		if e.Class == Refused { // the grant's own "invalid_client" is a 400
			e.Class = KeyRejected
		}
		return "", e
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   text   `json:"expires_in"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" {
		return "", &Error{Class: Malformed, URL: redactURL(cfg.AuthURL), Status: resp.StatusCode, Message: "no access token in it"}
	}
	life := time.Hour // assumed when not given [F-1]
	if n, ok := readNumber(answer.ExpiresIn); ok && n.Valid && n.Decimal.IsPositive() {
		life = time.Duration(n.Decimal.IntPart()) * time.Second
	}
	s.token, s.until = answer.AccessToken, cfg.Clock.Now().Add(life-time.Minute)
	return s.token, nil
}
