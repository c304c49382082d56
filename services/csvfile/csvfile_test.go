package csvfile

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFilesOfPeopleAreRead(t *testing.T) {
	for name, content := range map[string]string{
		"as a spreadsheet writes it": byteOrderMark + "COLOUR, Client_Name ,id\r\nred,\"Zoë's \"\"Bäkery\"\", <Ltd> 🍞\",1\r\n\r\n,\" '=1+1 \",2\r\n",
		"where commas are in prices": "colour;client_name;id\n\"1,50\";\"Zoë's \"\"Bäkery\"\", <Ltd> 🍞\";1\n\n;'=1+1;2\n",
	} {
		rows, faults := Read([]byte(content), "id", "client_name")
		if len(faults) > 0 || len(rows) != 2 {
			t.Errorf("%s: %v, %v", name, rows, faults)
			continue
		}
		if r := rows[0]; r.Line != 2 || r.Cell("id") != "1" || r.Cell("client_name") != `Zoë's "Bäkery", <Ltd> 🍞` || r.Cell("nothing") != "" {
			t.Errorf("%s: %v", name, r)
		}
		if r := rows[1]; r.Line != 4 || r.Cell("id") != "2" || r.Cell("client_name") != "=1+1" {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestWhatIsWrongInAFileIsSaidByLine(t *testing.T) {
	for content, want := range map[string]string{
		"":                       "line 1: the file has no first line with the names of its columns: id, name",
		"name\nAcme\n":           "line 1: there is no column id; columns are: id, name",
		"id,name\n1,A\n2,B":      "line 3: the file ends within this line",
		"id,name\n1\n2,B,C\n":    "line 2: it has 1 columns, the first line 2: the row may be cut off, or a comma not in quotes; line 3: it has 3",
		"id,name\n1,\"Half\n":    "line 2: it cannot be read",
		"id,name\n1,Zo\xeb\n":    "line 1: the file is not in UTF-8",
		"id,name\n1,A\n2,\x00\n": "line 3: it holds bytes that are not text",
	} {
		if _, faults := Read([]byte(content), "id", "name"); !strings.HasPrefix(faults.Error(), want) {
			t.Errorf("%q: %s; want %s", content, faults, want)
		}
	}
}

// What is written is read again as it was, and nothing of it is a formula but a number.
func TestWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("=+-@'\",;\n\t1.5 Zoë🦷"))).Draw(t, "text")
		text = strings.TrimSpace(text)
		var file bytes.Buffer
		if err := Write(&file, [][]string{{"id", "text"}, {"1", text}}); err != nil {
			t.Fatal(err)
		}
		if _, written, _ := strings.Cut(file.String(), "\n1,"); written != "" && strings.ContainsRune("=@", rune(written[0])) {
			t.Fatalf("a formula: %q", written)
		}
		rows, faults := Read(file.Bytes(), "id")
		if len(faults) > 0 || len(rows) != 1 || rows[0].Cell("text") != text {
			t.Fatalf("%q is read as %v, %v", text, rows, faults)
		}
	})
	var file bytes.Buffer
	if err := Write(&file, [][]string{{"-5.00", "+44 1449", "'quoted"}}); err != nil || file.String() != byteOrderMark+"-5.00,'+44 1449,''quoted\n" {
		t.Errorf("%q, %v", file.String(), err)
	}
}
