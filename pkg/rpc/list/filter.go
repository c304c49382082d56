package list

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.einride.tech/aip/filtering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"

	"seatline.dev/pkg/rpc"
)

// Bounds of what is parsed, in bytes and in parentheses; people and programs alike stay far below,
// and the parser's effort grows with the product.
const (
	maxFilter      = 4096
	maxParentheses = 100
)

// filter translates an AIP-160 filter into a condition; empty for an empty filter. Fields for which
// it leaves one value only are added to fixed.
func (s Spec) filter(source string, fixed map[string]bool) (fragment, error) {
	source = strings.TrimSpace(source)
	switch {
	case source == "":
		return fragment{}, nil
	case len(source) > maxFilter:
		return fragment{}, rpc.InvalidArgument("filter", "it is %d bytes long; %d are allowed", len(source), maxFilter)
	case strings.Count(source, "(") > maxParentheses:
		return fragment{}, rpc.InvalidArgument("filter", "it has more than %d parentheses", maxParentheses)
	}
	var parser filtering.Parser
	parser.Init(source)
	parsed, err := parser.Parse()
	if err != nil {
		return fragment{}, syntaxError(source, err)
	}
	t := translator{s, source, parsed.GetSourceInfo().GetPositions()}
	t.fix(parsed.GetExpr(), fixed)
	return t.condition(parsed.GetExpr())
}

// fix finds the equalities that every row must meet: those joined by AND alone.
func (t translator) fix(e *expr.Expr, fixed map[string]bool) {
	call := e.GetCallExpr()
	switch call.GetFunction() {
	case filtering.FunctionAnd, filtering.FunctionFuzzyAnd:
		for _, arg := range call.GetArgs() {
			t.fix(arg, fixed)
		}
	case filtering.FunctionEquals:
		name, isField := memberName(call.GetArgs()[0])
		value, err := t.literal(call.GetArgs()[1])
		if isField && err == nil && !strings.Contains(value, "*") {
			fixed[name] = true
		}
	}
}

// syntaxError finds the innermost complaint, which names the place.
func syntaxError(source string, err error) error {
	type located interface {
		Position() filtering.Position
		Message() string
	}
	where, what := len(source), "it cannot be read"
	for next := err; next != nil; next = errors.Unwrap(next) {
		if at, ok := next.(located); ok { //nolint:errorlint // each layer is looked at in turn
			where, what = int(at.Position().Offset), at.Message()
		}
	}
	return rpc.InvalidArgument("filter", "%s at character %d, near %q", what, where+1, near(source, where)).
		Do(`write it like: state = held AND name : "business premium"; values with spaces or any of -.:,()<>= go in double quotes`)
}

func near(source string, offset int) string {
	offset = min(max(offset, 0), len(source))
	rest := []rune(source[offset:])
	return string(rest[:min(len(rest), 20)])
}

type translator struct {
	spec      Spec
	source    string
	positions map[int64]int32
}

func (t translator) errorf(e *expr.Expr, format string, args ...any) error {
	at := int(t.positions[e.GetId()])
	return rpc.InvalidArgument("filter", "%s, at character %d, near %q", fmt.Sprintf(format, args...), at+1, near(t.source, at)).
		Do("fields to filter %s by: %s", t.spec.Noun, t.spec.names(false))
}

// condition translates an expression that is true or false.
func (t translator) condition(e *expr.Expr) (fragment, error) {
	call := e.GetCallExpr()
	if call == nil {
		return t.search(e)
	}
	switch call.GetFunction() {
	case filtering.FunctionAnd, filtering.FunctionFuzzyAnd, filtering.FunctionOr, filtering.FunctionNot:
		return combine(call, t.condition)
	case filtering.FunctionEquals, filtering.FunctionNotEquals, filtering.FunctionLessThan, filtering.FunctionLessEquals,
		filtering.FunctionGreaterThan, filtering.FunctionGreaterEquals, filtering.FunctionHas:
		name, ok := memberName(call.GetArgs()[0])
		if !ok {
			return fragment{}, t.errorf(e, "the left side of %s is not a field", call.GetFunction())
		}
		field, ok := t.spec.Fields[name]
		if !ok {
			return fragment{}, t.errorf(call.GetArgs()[0], "%s have no field %q", t.spec.Noun, name)
		}
		return t.restriction(name, field, call.GetFunction(), call.GetArgs()[1])
	default:
		return fragment{}, t.errorf(e, "the function %q does not exist here", call.GetFunction())
	}
}

func combine(call *expr.Expr_Call, each func(*expr.Expr) (fragment, error)) (fragment, error) {
	var parts []fragment
	for _, arg := range call.GetArgs() {
		part, err := each(arg)
		if err != nil {
			return fragment{}, err
		}
		parts = append(parts, part)
	}
	switch call.GetFunction() {
	case filtering.FunctionNot:
		// What is null is not so; a bare NOT would lose those rows.
		return fragment{"(" + parts[0].sql + ") is not true", parts[0].args}, nil
	case filtering.FunctionOr:
		return join("or", parts...), nil
	default:
		return join("and", parts...), nil
	}
}

// search looks for a bare word in the searched fields.
func (t translator) search(e *expr.Expr) (fragment, error) {
	value, err := t.literal(e)
	if err != nil {
		return fragment{}, err
	}
	if _, isField := t.spec.Fields[value]; isField && e.GetConstExpr() == nil {
		return fragment{}, t.errorf(e, "the field %q is compared with nothing", value)
	}
	if len(t.spec.Search) == 0 {
		return fragment{}, t.errorf(e, "%q is not compared with a field", value)
	}
	var parts []fragment
	for _, name := range t.spec.Search {
		parts = append(parts, contains(t.spec.Fields[name], value))
	}
	return join("or", parts...), nil
}

// restriction translates field op arg; arg may be alternatives: state = (held OR parked).
func (t translator) restriction(name string, field Field, op string, arg *expr.Expr) (fragment, error) {
	if call := arg.GetCallExpr(); call != nil {
		switch call.GetFunction() {
		case filtering.FunctionAnd, filtering.FunctionFuzzyAnd, filtering.FunctionOr, filtering.FunctionNot:
			return combine(call, func(e *expr.Expr) (fragment, error) { return t.restriction(name, field, op, e) })
		}
	}
	value, err := t.literal(arg)
	if err != nil {
		return fragment{}, err
	}
	if value == "*" && op == filtering.FunctionHas {
		return present(field), nil
	}
	result, err := compare(field, op, value)
	if err != nil {
		return fragment{}, t.errorf(arg, "%s %s %s: %v", name, op, value, err)
	}
	return result, nil
}

// compare is where types and operators meet. Its errors are the second half of a sentence.
func compare(field Field, op, value string) (fragment, error) {
	argument := func(v any) fragment {
		switch op {
		case filtering.FunctionNotEquals:
			return fragment{field.sql + " is distinct from " + placeholder + "::" + field.cast(), []any{v}}
		case filtering.FunctionHas:
			return fragment{field.sql + " = " + placeholder + "::" + field.cast(), []any{v}}
		default: // the operators of AIP-160 are those of SQL
			return fragment{field.sql + " " + op + " " + placeholder + "::" + field.cast(), []any{v}}
		}
	}
	ordered := op != filtering.FunctionEquals && op != filtering.FunctionNotEquals && op != filtering.FunctionHas
	switch field.kind {
	case text:
		switch {
		case op == filtering.FunctionHas:
			return contains(field, value), nil
		case !ordered && strings.Contains(value, "*"):
			return wildcard(field, op, value), nil
		}
		return argument(value), nil
	case texts, jsonTexts:
		if op != filtering.FunctionHas {
			return fragment{}, errors.New("it holds several values; write : to ask for one of them")
		}
		if field.kind == jsonTexts {
			return fragment{"(" + field.sql + ") ? " + placeholder + "::text", []any{value}}, nil
		}
		return fragment{placeholder + "::text = any(" + field.sql + ")", []any{value}}, nil
	case integer:
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fragment{}, errors.New("a whole number belongs there")
		}
		return argument(number), nil
	case decimal:
		if !isDecimal(value) {
			return fragment{}, errors.New("a number belongs there, for example 12.50")
		}
		return argument(value), nil
	case instant:
		at, err := parseTime(value)
		if err != nil {
			return fragment{}, err
		}
		return argument(at), nil
	case boolean:
		truth, known := map[string]bool{"true": true, "false": false}[strings.ToLower(value)]
		if !known || ordered {
			return fragment{}, errors.New("compare it by = or != with true or false")
		}
		return argument(truth), nil
	default: // word
		stored, known := field.words[normal(value)]
		if !known || ordered {
			return fragment{}, fmt.Errorf("compare it by = or != with one of: %s", strings.Join(field.names, ", "))
		}
		return argument(stored), nil
	}
}

var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func contains(field Field, value string) fragment {
	return fragment{field.sql + " ilike " + placeholder + "::text", []any{"%" + escapeLike.Replace(value) + "%"}}
}

func wildcard(field Field, op, value string) fragment {
	pattern := strings.ReplaceAll(escapeLike.Replace(value), "*", "%")
	like := fragment{field.sql + " like " + placeholder + "::text", []any{pattern}}
	if op == filtering.FunctionNotEquals {
		like.sql = "(" + like.sql + ") is not true"
	}
	return like
}

// present is field:*, "has a value".
func present(field Field) fragment {
	switch field.kind {
	case text:
		return fragment{"coalesce(" + field.sql + ", '') <> ''", nil}
	case texts:
		return fragment{"coalesce(cardinality(" + field.sql + "), 0) > 0", nil}
	case jsonTexts:
		return fragment{"coalesce(jsonb_array_length(" + field.sql + "), 0) > 0", nil}
	default:
		return fragment{field.sql + " is not null", nil}
	}
}

func isDecimal(value string) bool {
	digits := strings.TrimPrefix(value, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	all := whole + fraction
	return all != "" && len(all) <= 60 && strings.Trim(all, "0123456789") == "" && (!dotted || fraction != "" || whole != "")
}

func parseTime(value string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, value); err == nil {
			if at.Year() < 1 {
				break // PostgreSQL has no year 0
			}
			return at.UTC(), nil
		}
	}
	return time.Time{}, errors.New(`a time belongs there, in quotes: "2026-01-31" or "2026-01-31T09:00:00Z"`)
}

// literal is the text of a value, whether quoted or bare. Numbers are taken as they were written,
// since what looks like a number may be an id with leading zeros or an amount of money.
func (t translator) literal(e *expr.Expr) (string, error) {
	value := ""
	switch {
	case e.GetConstExpr() != nil:
		switch e.GetConstExpr().GetConstantKind().(type) {
		case *expr.Constant_StringValue:
			value = e.GetConstExpr().GetStringValue()
		default:
			rest := t.source[t.positions[e.GetId()]:]
			end := strings.IndexFunc(rest, func(r rune) bool { return !strings.ContainsRune("-.0123456789abcdefABCDEFxX", r) })
			if end < 0 {
				end = len(rest)
			}
			value = rest[:end]
		}
	case e.GetCallExpr().GetFunction() == filtering.FunctionTimestamp && len(e.GetCallExpr().GetArgs()) == 1:
		return t.literal(e.GetCallExpr().GetArgs()[0])
	default:
		name, ok := memberName(e)
		if !ok {
			return "", t.errorf(e, "a value belongs there")
		}
		value = name
	}
	if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
		return "", t.errorf(e, "the value holds bytes that are not text")
	}
	return value, nil
}

// memberName is the name of a field, with dots: status.state.
func memberName(e *expr.Expr) (string, bool) {
	if ident := e.GetIdentExpr(); ident != nil {
		return ident.GetName(), true
	}
	if member := e.GetSelectExpr(); member != nil {
		outer, ok := memberName(member.GetOperand())
		return outer + "." + member.GetField(), ok
	}
	return "", false
}
