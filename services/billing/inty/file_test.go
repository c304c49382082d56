package inty

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
)

func TestOldMappingsOfAFile(t *testing.T) {
	got, err := ReadFile([]byte("\ufeffClient_Name, INTY_ID ,country,colour\n\"Zoë's \"\"Bäkery\"\" 🍞 <Ltd>\",IN-1, GB ,red\nAcme,IN-2,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []*intyv1.SavedMapping{
		{Line: 2, IntyId: "IN-1", ClientName: `Zoë's "Bäkery" 🍞 <Ltd>`, Country: "GB"}, {Line: 3, IntyId: "IN-2", ClientName: "Acme"},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	for file, says := range map[string]string{
		"":                         "no first line",
		"name,client_id\nAcme,1\n": "no column inty_id",
		"inty_id,client_id\n":      "no rows",
		"inty_id,client_id\nIN-1,one\nIN-2\nIN-3,two\n": `line 2: client_id "one" is no number; line 3: it has 1 columns, the first line 2: the row may be cut off, or a comma not in quotes; line 4: client_id "two"`,
		"inty_id,client_id\nIN-1,12":                    "line 2: the file ends within this line",
		"inty_id,client_id\n\"IN-1,12\n":                "line 2: it cannot be read",
	} {
		if _, err := ReadFile([]byte(file)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", file, err)
		}
	}
}
