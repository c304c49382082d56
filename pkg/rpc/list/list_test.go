package list

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

func licences() Spec {
	return Spec{
		Noun: "licences",
		Fields: map[string]Field{
			"connection":  Text("l.connection"),
			"key":         Text("l.key"),
			"name":        Text("l.name"),
			"state":       Enum("l.state", itemv1.State(0).Descriptor()),
			"origin":      Words("l.origin", "mark", "operator"),
			"count":       Integer("l.count"),
			"price":       Decimal("l.price"),
			"active":      Bool("l.active"),
			"update_time": Time("l.update_time"),
			"line_keys":   Texts("l.line_keys"),
		},
		Key:    []string{"connection", "key"},
		Search: []string{"name", "key"},
	}
}

func TestFilterBecomesParametrisedSQL(t *testing.T) {
	const head = "select body, (l.connection)::text as place_0, (l.key)::text as place_1 from licences l"
	const tail = " order by l.connection, l.key limit 101"
	for _, test := range []struct {
		filter, where string
		args          []any
	}{
		{``, ``, nil},
		{`name = "Business Premium"`, ` where ((l.name = $1::text))`, []any{"Business Premium"}},
		{`name = "Micro*"`, ` where ((l.name like $1::text))`, []any{"Micro%"}},
		{`name : "100%_"`, ` where ((l.name ilike $1::text))`, []any{`%100\%\_%`}},
		{`name:*`, ` where ((coalesce(l.name, '') <> ''))`, nil},
		{`key = 00123`, ` where ((l.key = $1::text))`, []any{"00123"}},
		{`state = held`, ` where ((l.state = $1::integer))`, []any{int64(itemv1.State_STATE_HELD)}},
		{`state = STATE_IN_SYNC`, ` where ((l.state = $1::integer))`, []any{int64(itemv1.State_STATE_IN_SYNC)}},
		{`state = "in-sync"`, ` where ((l.state = $1::integer))`, []any{int64(itemv1.State_STATE_IN_SYNC)}},
		{`state != held`, ` where ((l.state is distinct from $1::integer))`, []any{int64(itemv1.State_STATE_HELD)}},
		{`state = (held OR parked)`, ` where (((l.state = $1::integer) or (l.state = $2::integer)))`,
			[]any{int64(itemv1.State_STATE_HELD), int64(itemv1.State_STATE_PARKED)}},
		{`origin = MARK`, ` where ((l.origin = $1::text))`, []any{"mark"}},
		{`count >= -3`, ` where ((l.count >= $1::bigint))`, []any{int64(-3)}},
		{`price < 12.10`, ` where ((l.price < $1::numeric))`, []any{"12.10"}},
		{`active = true`, ` where ((l.active = $1::boolean))`, []any{true}},
		{`line_keys : "1/2"`, ` where (($1::text = any(l.line_keys)))`, []any{"1/2"}},
		{`count > 1 AND NOT active = true`, ` where (((l.count > $1::bigint) and ((l.active = $2::boolean) is not true)))`, []any{int64(1), true}},
		{`count > 1 count < 9 OR count = 20`, ` where (((l.count > $1::bigint) and ((l.count < $2::bigint) or (l.count = $3::bigint))))`,
			[]any{int64(1), int64(9), int64(20)}},
		{`"harbour dental"`, ` where (((l.name ilike $1::text) or (l.key ilike $2::text)))`, []any{"%harbour dental%", "%harbour dental%"}},
	} {
		t.Run(test.filter, func(t *testing.T) {
			query, err := licences().Query(&licencev1.ListLicencesRequest{Filter: test.filter})
			if err != nil {
				t.Fatal(err)
			}
			sql, args := query.SQL(Select{Columns: "body", From: "licences l"})
			head := head
			if strings.HasPrefix(test.filter, "key =") { // every row's key is the same
				head = strings.Replace(head, ", (l.key)::text as place_1", "", 1)
			}
			if diff := cmp.Diff(head+normalise(test.where)+tail, normalise(sql)); diff != "" {
				t.Errorf("SQL (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.args, args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

// normalise drops the parentheses that only guard.
func normalise(sql string) string {
	for _, outer := range []string{" where "} {
		if at := strings.Index(sql, outer); at >= 0 {
			rest := sql[at+len(outer):]
			end := strings.Index(rest, " order by ")
			if end < 0 {
				end = len(rest)
			}
			condition := rest[:end]
			for wrapped(condition) {
				condition = condition[1 : len(condition)-1]
			}
			return sql[:at+len(outer)] + condition + rest[end:]
		}
	}
	return sql
}

// wrapped tells whether one pair of parentheses encloses all of s.
func wrapped(s string) bool {
	if !strings.HasPrefix(s, "(") || !strings.HasSuffix(s, ")") {
		return false
	}
	depth := 0
	for i, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 && i < len(s)-1 {
			return false
		}
	}
	return true
}

func TestWrongRequestsAreExplained(t *testing.T) {
	for name, test := range map[string]struct {
		request *licencev1.ListLicencesRequest
		want    []string
	}{
		"unknown field": {
			&licencev1.ListLicencesRequest{Filter: `name = x AND colour = "red"`},
			[]string{`filter: licences have no field "colour"`, `character 14`, "active, connection, count"},
		},
		"unknown enum value":   {&licencev1.ListLicencesRequest{Filter: `state = sleeping`}, []string{"state = sleeping", "in_sync, pending"}},
		"ordered enum":         {&licencev1.ListLicencesRequest{Filter: `state > held`}, []string{"compare it by = or !="}},
		"word for a number":    {&licencev1.ListLicencesRequest{Filter: `count = many`}, []string{"count = many", "a whole number belongs there"}},
		"fraction for whole":   {&licencev1.ListLicencesRequest{Filter: `count = 1.5`}, []string{"a whole number belongs there"}},
		"word for a time":      {&licencev1.ListLicencesRequest{Filter: `update_time > yesterday`}, []string{`"2026-01-31"`}},
		"equality on a list":   {&licencev1.ListLicencesRequest{Filter: `line_keys = "1/2"`}, []string{"write :"}},
		"bare field":           {&licencev1.ListLicencesRequest{Filter: `active`}, []string{`the field "active" is compared with nothing`}},
		"function":             {&licencev1.ListLicencesRequest{Filter: `regex(name, "a")`}, []string{`the function "regex" does not exist`}},
		"unquoted dashes":      {&licencev1.ListLicencesRequest{Filter: `connection = demo-one`}, []string{"character 18", "double quotes"}},
		"unclosed quote":       {&licencev1.ListLicencesRequest{Filter: `name = "x`}, []string{"filter:", "double quotes"}},
		"too long":             {&licencev1.ListLicencesRequest{Filter: strings.Repeat("a", 5000)}, []string{"5000 bytes"}},
		"NUL byte":             {&licencev1.ListLicencesRequest{Filter: `name = "\x00"`}, []string{"not text"}},
		"unknown order":        {&licencev1.ListLicencesRequest{OrderBy: "colour desc"}, []string{`order_by: licences cannot be ordered by "colour"`, "connection, count, key"}},
		"order by a list":      {&licencev1.ListLicencesRequest{OrderBy: "line_keys"}, []string{"cannot be ordered by"}},
		"order named twice":    {&licencev1.ListLicencesRequest{OrderBy: "name, name desc"}, []string{"named twice"}},
		"order with SQL":       {&licencev1.ListLicencesRequest{OrderBy: "name; drop table x"}, []string{"cannot be read"}},
		"negative page":        {&licencev1.ListLicencesRequest{PageSize: -1}, []string{"page_size: -1"}},
		"token of no one":      {&licencev1.ListLicencesRequest{PageToken: "abc"}, []string{"page_token:", "start again"}},
		"token that is no b64": {&licencev1.ListLicencesRequest{PageToken: "{}"}, []string{"page_token:"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := licences().Query(test.request)
			e, ok := rpc.ErrorFrom(err)
			if !ok || e.Code != codes.InvalidArgument {
				t.Fatalf("got %v, want InvalidArgument", err)
			}
			for _, part := range test.want {
				if !strings.Contains(e.Error(), part) {
					t.Errorf("%q does not say %q", e.Error(), part)
				}
			}
		})
	}
}

func TestPageTokenBelongsToItsRequest(t *testing.T) {
	first, err := licences().Query(&licencev1.ListLicencesRequest{Filter: "count > 1", OrderBy: "name desc"}, Scope{"connection": "demo"})
	if err != nil {
		t.Fatal(err)
	}
	token := first.token([]string{"Premium", "demo", "k1"})
	again := func(change func(*licencev1.ListLicencesRequest), scope Scope) error {
		req := &licencev1.ListLicencesRequest{Filter: "count > 1", OrderBy: "name desc", PageToken: token}
		change(req)
		_, err := licences().Query(req, scope)
		return err
	}
	if err := again(func(r *licencev1.ListLicencesRequest) { r.PageSize = 7 }, Scope{"connection": "demo"}); err != nil {
		t.Errorf("another page size is allowed (AIP-158): %v", err)
	}
	for name, err := range map[string]error{
		"filter":  again(func(r *licencev1.ListLicencesRequest) { r.Filter = "count > 2" }, Scope{"connection": "demo"}),
		"order":   again(func(r *licencev1.ListLicencesRequest) { r.OrderBy = "name" }, Scope{"connection": "demo"}),
		"scope":   again(func(*licencev1.ListLicencesRequest) {}, Scope{"connection": "other"}),
		"altered": again(func(r *licencev1.ListLicencesRequest) { r.PageToken = r.PageToken[:10] + "x" + r.PageToken[11:] }, Scope{"connection": "demo"}),
	} {
		if err == nil {
			t.Errorf("a token with another %s was accepted", name)
		}
	}
}

func TestMixedDirectionsSpellOutTheRowComparison(t *testing.T) {
	spec := licences()
	token := func(order string, values ...string) string {
		q, err := spec.Query(&licencev1.ListLicencesRequest{OrderBy: order})
		if err != nil {
			t.Fatal(err)
		}
		return q.token(values)
	}
	where := func(order string, values ...string) string {
		q, err := spec.Query(&licencev1.ListLicencesRequest{OrderBy: order, PageToken: token(order, values...)})
		if err != nil {
			t.Fatal(err)
		}
		sql, _ := q.SQL(Select{Columns: "body", From: "licences l"})
		return sql
	}
	if sql := where("name desc", "P", "demo", "k"); !strings.Contains(sql, "(l.name, l.connection, l.key) < ($1::text::text, $2::text::text, $3::text::text)") {
		t.Errorf("one direction should be one row comparison: %s", sql)
	}
	if sql := where("name desc, connection", "P", "demo", "k"); !strings.Contains(sql, "l.name < $1") || !strings.Contains(sql, "l.connection > $") {
		t.Errorf("mixed directions need their own comparisons: %s", sql)
	}
}

// FuzzFilter: whatever callers write, the SQL has balanced parentheses, as many placeholders as
// arguments, and no character of theirs.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`name = "x'; drop table licences; --"`, `state = (held OR parked)`, `NOT (a OR b) c`, `count > -1.5`, `((((`, `f(f(f(f(`,
		`update_time > "2026-01-31"`, `line_keys:"a"`, `name:*`, `a.b.c = d`, "\xff", `price = 1.`, `key = 0x1F`, `-name = q`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		const marker = "zqj" // no declared expression holds it
		query, err := licences().Query(&licencev1.ListLicencesRequest{Filter: strings.ReplaceAll(source, "'", "'"+marker)})
		if err != nil {
			if e, ok := rpc.ErrorFrom(err); !ok || e.Code != codes.InvalidArgument {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		sql, args := query.SQL(Select{Columns: "body", From: "licences l"})
		if strings.Contains(sql, marker) || strings.Contains(sql, placeholder) {
			t.Fatalf("%q came through into the SQL: %s", source, sql)
		}
		if n := strings.Count(sql, "$"); n != len(args) {
			t.Fatalf("%d placeholders for %d arguments: %s", n, len(args), sql)
		}
		if strings.Count(sql, "(") != strings.Count(sql, ")") {
			t.Fatalf("unbalanced: %s", sql)
		}
	})
}

// An order by a column of a joined table is completed from that table, which is joined for nothing else.
func TestPagesAreFoundThroughOneTable(t *testing.T) {
	spec := Spec{
		Noun: "things",
		Fields: map[string]Field{
			"connection": Text("i.connection").Also("s.connection"), "key": Text("i.key").Also("s.key"),
			"customer": Text("i.customer"), "sku": Text("s.sku"), "count": Integer("coalesce(i.count, 0)"),
			"tags": JSONTexts("i.body->'tags'"),
		},
		Key: []string{"connection", "key"},
	}
	sel := Select{Columns: "i.body", From: "items i", Joins: map[string]string{"s": "join subs s using (connection, key)", "ns": "join others ns on true"}}
	for name, test := range map[string]struct {
		request *licencev1.ListLicencesRequest
		sql     string
	}{
		"plain": {&licencev1.ListLicencesRequest{},
			`from items i order by i.connection, i.key limit 101`},
		"ordered here": {&licencev1.ListLicencesRequest{OrderBy: "customer"},
			`from items i order by i.customer, i.connection, i.key limit 101`},
		"ordered there": {&licencev1.ListLicencesRequest{OrderBy: "sku desc"},
			`from items i join subs s using (connection, key) order by s.sku desc, s.connection desc, s.key desc limit 101`},
		"kept to one value there": {&licencev1.ListLicencesRequest{Filter: `connection = x AND sku = y`},
			`from items i join subs s using (connection, key) where (i.connection = $1::text and s.sku = $2::text) order by s.connection, s.key limit 101`},
		"several values there": {&licencev1.ListLicencesRequest{Filter: `sku = (x OR y)`},
			`from items i join subs s using (connection, key) where (s.sku = $1::text or s.sku = $2::text) order by i.connection, i.key limit 101`},
		"ordered here, kept there": {&licencev1.ListLicencesRequest{Filter: `sku = y`, OrderBy: "customer"},
			`from items i join subs s using (connection, key) where s.sku = $1::text order by i.customer, i.connection, i.key limit 101`},
		"in an array": {&licencev1.ListLicencesRequest{Filter: `tags : x`},
			`from items i where i.body->'tags' ? $1::text order by i.connection, i.key limit 101`},
		"ordered by what is no column": {&licencev1.ListLicencesRequest{OrderBy: "count"},
			`from items i order by coalesce(i.count, 0), i.connection, i.key limit 101`},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := spec.Query(test.request)
			if err != nil {
				t.Fatal(err)
			}
			sql, _ := q.SQL(sel)
			_, from, _ := strings.Cut(sql, "from ")
			plain := strings.NewReplacer("(", "", ")", "").Replace
			if got := "from " + from; plain(got) != plain(test.sql) {
				t.Errorf("\n got %s\nwant %s", got, test.sql)
			}
		})
	}
}
