package giacomsim

import (
	"bytes"
	"encoding/json"
	"unicode"
	"unicode/utf8"
)

// reshape rewrites JSON in another of the forms an API may choose: field names with a capital, numbers as strings. Order
// and number literals stay.
func reshape(body []byte, pascal, text bool) []byte {
	if !pascal && !text {
		return body
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var out bytes.Buffer
	reshapeValue(dec, &out, pascal, text)
	return out.Bytes()
}

func reshapeValue(dec *json.Decoder, out *bytes.Buffer, pascal, text bool) {
	tok, err := dec.Token()
	if err != nil {
		panic(err) // the body was rendered by this package
	}
	switch v := tok.(type) {
	case json.Delim:
		out.WriteString(v.String())
		for first := true; dec.More(); first = false {
			if !first {
				out.WriteByte(',')
			}
			if v == '{' {
				key, err := dec.Token()
				if err != nil {
					panic(err)
				}
				name := key.(string)
				if pascal {
					name = capital(name)
				}
				out.Write(render(name))
				out.WriteByte(':')
			}
			reshapeValue(dec, out, pascal, text)
		}
		end, err := dec.Token()
		if err != nil {
			panic(err)
		}
		out.WriteString(end.(json.Delim).String())
	case json.Number:
		if text {
			out.WriteString(`"` + v.String() + `"`)
			return
		}
		out.WriteString(v.String())
	default:
		out.Write(render(v))
	}
}

func capital(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r)) + name[n:]
}
